/**
 * Docker of the distribution, in a privileged pod, with its networks: what the guest's kernel has iptables for. By name: it
 * takes Docker's packages, and minutes (`A3S_TEST_DOCKER=1`).
 */
import { chmod, mkdtemp, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { docker } from "../../scripts/setup/assets/docker.js";
import { setupContext } from "../../scripts/setup/set-up.js";
import type { Daemon } from "../support/daemon.js";
import { builtConfig } from "../support/guest-kernel/kernel.js";
import { exec, runPod, startContainer, type Pod } from "../support/pods.js";
import { projectDirectory } from "../support/project.js";
import { sharedDaemon } from "../support/shared-daemon.js";
import { sharedPod } from "../support/shared-pod.js";
import { skipBecause } from "../support/skip.js";
import { Undo } from "../support/undo.js";
import { eventually, limit } from "../support/wait.js";

const asked = process.env["A3S_TEST_DOCKER"] === "1";
const path = "PATH=/tools:/usr/sbin:/usr/bin:/bin";
/** Layers can't lie on a container's root, which is an overlay itself. */
const start = [
  "mkdir -p /var/lib/docker /run /etc/docker /tmp",
  "mount -t tmpfs -o size=400m none /var/lib/docker",
  "mount -t tmpfs none /run",
  "exec dockerd --storage-driver overlay2 2>&1",
];

describe("Docker in a Box", function () {
  this.timeout(limit(300_000));
  let daemon: Daemon;
  let pod: Pod;
  let id: string;
  let tools: string;
  const undo = new Undo();
  before(async function () {
    if (!asked) skipBecause(this, "A3S_TEST_DOCKER=1 has these tests run");
    if ((await builtConfig()) === undefined) skipBecause(this, "the package's kernel has no iptables");
    daemon = await sharedDaemon();
    tools = await mkdtemp(join(daemon.base, "tools"));
    undo.add(() => rm(tools, { recursive: true }));
    await chmod(tools, 0o755);
    for (const name of ["iptables", "ip6tables"]) await symlink(`/usr/sbin/${name}-nft`, join(tools, name));
  });
  after(async () => {
    await undo.run();
  });
  sharedPod(
    () => daemon,
    async () => {
      const context = setupContext(projectDirectory, AbortSignal.timeout(limit(300_000)), () => undefined);
      const root = join(await docker(context), "engine");
      const securityContext = { privileged: true };
      pod = await runPod(daemon, { linux: { resources: { memoryLimitInBytes: 1024n << 20n }, securityContext } });
      const parts = ["usr", "lib", "lib64", "sbin"].map((name) => ({
        hostPath: join(root, name),
        containerPath: `/${name}`,
        readonly: true,
      }));
      id = await startContainer(daemon, pod, {
        command: ["sh", "-c", `export ${path}; ${start.join(" && ")}`],
        mounts: [...parts, { hostPath: tools, containerPath: "/tools", readonly: true }],
        linux: { securityContext },
      });
      return pod;
    },
  );

  const inBox = async (line: string): Promise<string> => {
    const done = await exec(daemon, id, ["sh", "-c", `export ${path} DOCKER_BUILDKIT=0; ${line}`], 120);
    if (done.exitCode !== 0) throw new Error(`"${line}" ended with ${done.exitCode}: ${done.stderr}${done.stdout}`);
    return done.stdout;
  };

  it("runs containers on its bridge, publishes their ports, gives them names, and builds images", async () => {
    await eventually("dockerd answers", 120_000, async () => {
      const done = await exec(daemon, id, ["sh", "-c", `export ${path}; docker version`], 60);
      return done.exitCode === 0 ? true : undefined;
    });
    await inBox("tar -c -C / bin etc/passwd etc/group | docker import - bb");
    const serve = "mkdir /www && echo hello > /www/index.html && exec httpd -f -p 80 -h /www";
    await inBox(`docker run -d --name web -p 8080:80 bb sh -c '${serve}'`);
    const fetched = await eventually("the published port answers", 60_000, async () => {
      const done = await exec(daemon, id, ["wget", "-qO-", "http://127.0.0.1:8080/"], 30);
      return done.exitCode === 0 ? done.stdout : undefined;
    });
    expect(fetched).to.equal("hello\n");
    expect(await inBox("iptables -t nat -S"))
      .to.match(/DNAT.*172\.17\.0\.\d+:80/)
      .and.to.include("MASQUERADE");
    await inBox("docker network create own && docker network connect own web");
    expect(await inBox("docker run --rm --network own bb wget -qO- http://web/")).to.equal("hello\n");
    await inBox("mkdir -p /build && printf 'FROM bb\\nRUN echo built > /made\\n' > /build/Dockerfile");
    await inBox("docker build -q -t made /build");
    expect(await inBox("docker run --rm --memory 32m made cat /made")).to.equal("built\n");
    await inBox("docker rm -f web");
  });
});
