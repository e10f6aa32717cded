/**
 * AppArmor profiles of containers, in the kernel of their Box (docs/adr/0146): what CRI's validation suite asks of a node that
 * has AppArmor, that a confined program stays confined, and that what can't be applied is refused.
 */
import { cp, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import * as z from "zod";
import {
  NamespaceMode,
  SecurityProfile_ProfileType,
  type DeepPartial,
  type SecurityProfile,
} from "../../src/gen/runtime/v1/api.js";
import { failure, runtime, status } from "../support/cri-client.js";
import { Daemon } from "../support/daemon.js";
import { builtConfig } from "../support/guest-kernel/kernel.js";
import { busybox } from "../support/images.js";
import {
  createContainer,
  exec,
  removeContainer,
  removePod,
  runPod,
  runToEnd,
  shell,
  startContainer,
  testHandler,
  type ContainerConfigPart,
  type Pod,
} from "../support/pods.js";
import { projectDirectory } from "../support/project.js";
import { skipBecause } from "../support/skip.js";
import { Undo } from "../support/undo.js";
import { limit } from "../support/wait.js";

type SecurityPart = NonNullable<NonNullable<ContainerConfigPart["linux"]>["securityContext"]>;

const { RuntimeDefault, Localhost, Unconfined } = SecurityProfile_ProfileType;
const profileName = "a3s-box-default";
const byDefault: DeepPartial<SecurityProfile> = { profileType: RuntimeDefault };
const ofNode = (localhostRef: string): DeepPartial<SecurityProfile> => ({ profileType: Localhost, localhostRef });
const current = "cat /proc/self/attr/current";

describe("AppArmor in a Box", () => {
  const undo = new Undo();
  let directory: string;
  let daemon: Daemon;
  let pod: Pod;

  before(async function () {
    this.timeout(limit(90_000));
    if ((await builtConfig()) === undefined) skipBecause(this, "the kernel of the package has no AppArmor");
    directory = await mkdtemp(join(tmpdir(), "a3s-apparmor-"));
    undo.add(() => rm(directory, { recursive: true }));
    await cp(join(projectDirectory, "build/assets/apparmor-tests"), directory, { recursive: true, dereference: true });
    const config = `[sandbox]\napparmor_profiles = "${directory}"\n`;
    daemon = await Daemon.start({ images: [await busybox()], config });
    undo.add(() => daemon.remove());
    // kubelet makes a pod's sandbox privileged when one of its containers is.
    pod = await runPod(daemon, { linux: { securityContext: { privileged: true } } });
    undo.add(() => removePod(daemon, pod));
  });
  after(async () => {
    await undo.run();
  });

  const namespaceOptions = { pid: NamespaceMode.CONTAINER };
  const withSecurity = (security: SecurityPart): ContainerConfigPart => ({
    linux: { securityContext: { namespaceOptions, ...security } },
  });
  const output = (line: string, security: SecurityPart): Promise<string> =>
    runToEnd(daemon, pod, line, withSecurity(security));
  /** What a line says, on both streams, and how it ends. */
  async function tried(id: string, line: string): Promise<string> {
    const { stdout, stderr, exitCode } = await exec(daemon, id, ["sh", "-c", line]);
    return `${stdout}${stderr}${exitCode}`;
  }

  it("confines a container with RuntimeDefault, its execs too, by the new field and the old one", async () => {
    const id = await startContainer(daemon, pod, withSecurity({ apparmor: byDefault }));
    expect(await shell(daemon, id, "cat /proc/1/attr/current")).to.equal(`${profileName} (enforce)\n`);
    expect(await shell(daemon, id, current)).to.equal(`${profileName} (enforce)\n`);
    await removeContainer(daemon, id);
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- kubelet sends it too
    expect(await output(current, { apparmorProfile: "runtime/default" })).to.equal(`${profileName} (enforce)\n`);
  });

  it("confines who is not root and has no new privileges, and behind a seccomp filter", async () => {
    const security = { runAsUser: { value: 1001n }, noNewPrivs: true, seccomp: { profileType: RuntimeDefault } };
    const id = await startContainer(daemon, pod, withSecurity({ ...security, apparmor: byDefault }));
    expect(await shell(daemon, id, `id -u; cat /proc/1/attr/current; ${current}`)).to.equal(
      `1001\n${profileName} (enforce)\n${profileName} (enforce)\n`,
    );
    await removeContainer(daemon, id);
  });

  it("leaves a container alone that asks for none, and one that is privileged with RuntimeDefault", async () => {
    for (const security of [{}, { apparmor: { profileType: Unconfined } }, { privileged: true, apparmor: byDefault }]) {
      expect(await output(current, security), JSON.stringify(security)).to.equal("unconfined\n");
    }
  });

  it("runs what usual containers do under RuntimeDefault", async () => {
    const id = await startContainer(daemon, pod, withSecurity({ apparmor: byDefault }));
    const lines = [
      "echo a > /tmp/a && ln -s a /tmp/b && mv /tmp/a /tmp/c && chmod 700 /tmp/c && chown 1001 /tmp/c && rm /tmp/b",
      "sleep 100 & kill -9 $!; wait; nc -l -p 8123 >/tmp/got & sleep 0.3; echo hello | nc 127.0.0.1 8123; cat /tmp/got",
    ];
    expect(await tried(id, lines.join("\n"))).to.equal("hello\n0");
    await daemon.cri.call(runtime.stopContainer, { containerId: id, timeout: 10n });
    await removeContainer(daemon, id);
  });

  it("a confined program with all capabilities gets no mount, no other profile, and not at the policies", async () => {
    const capabilities = { addCapabilities: ["ALL"] };
    const mounting = "mkdir -p /m && mount -t tmpfs none /m && umount /m";
    const free = await startContainer(daemon, pod, withSecurity({ capabilities }));
    expect(await tried(free, mounting), "what is forbidden would work").to.equal("0");
    expect(await tried(free, "mount -t securityfs none /m && ls /m/apparmor/.load")).to.equal("/m/apparmor/.load\n0");
    await removeContainer(daemon, free);
    const id = await startContainer(daemon, pod, withSecurity({ capabilities, apparmor: byDefault }));
    for (const line of [
      mounting,
      "mkdir -p /m && mount -t securityfs none /m",
      "mount --bind /proc /mnt",
      "mount -o remount,rw /",
      "printf 'changeprofile unconfined' > /proc/self/attr/current",
      "printf 'changeprofile unconfined' > /proc/self/attr/apparmor/current",
      "printf 'exec unconfined' > /proc/self/attr/exec && cat /proc/self/attr/current",
      "unshare -Urm sh -c 'mount -t tmpfs none /mnt'",
    ]) {
      expect(await tried(id, line), line).to.match(/[1-9]\d*$/);
    }
    expect(await shell(daemon, id, current)).to.equal(`${profileName} (enforce)\n`);
    await removeContainer(daemon, id);
  });

  it("applies a profile of the node, which forbids to write, also to execs and to root", async () => {
    const id = await startContainer(daemon, pod, withSecurity({ apparmor: ofNode("a3s-test-deny-write") }));
    expect(await shell(daemon, id, current)).to.equal("a3s-test-deny-write (enforce)\n");
    expect(await tried(id, "touch /tmp/x")).to.match(/Permission denied\n1$/);
    expect(await tried(id, "cat /etc/passwd | head -1; id -u")).to.match(/^root:.*\n0\n0$/);
    await removeContainer(daemon, id);
    const asContainerd = ofNode("localhost/a3s-test-deny-write");
    expect(await output(`${current}; touch /x || echo forbidden`, { apparmor: asContainerd })).to.match(
      /^a3s-test-deny-write \(enforce\)\n[^]*forbidden\n$/,
    );
    // also where it is privileged: somebody has asked for it by name
    const privileged = { privileged: true, apparmorProfile: "localhost/a3s-test-deny-write" };
    expect(await output(current, privileged)).to.equal("a3s-test-deny-write (enforce)\n");
  });

  it("applies a profile that only complains", async () => {
    expect(await output(`${current}; touch /x && echo done`, { apparmor: ofNode("a3s-test-complain") })).to.equal(
      "a3s-test-complain (complain)\ndone\n",
    );
  });

  it("refuses a profile that the node has not, one that is no policy, and names of more than one, with the reason", async () => {
    const refused = async (apparmor: DeepPartial<SecurityProfile>, why: RegExp): Promise<void> => {
      await failure(createContainer(daemon, pod, withSecurity({ apparmor })), status.INVALID_ARGUMENT, why);
    };
    await refused(ofNode("not-loaded"), /no profile "not-loaded".*apparmor_parser/);
    for (const name of ["", ":root:unconfined", "a//&b", "&a", "a\nb", "../../../etc/passwd"]) {
      await refused(ofNode(name), /names no AppArmor profile|has no profile/);
    }
    await writeFile(join(directory, "too-large"), "");
    await truncate(join(directory, "too-large"), 1024 * 1024 + 1);
    await refused(ofNode("too-large"), /too-large: larger than 1048576 bytes/);
    await refused({ profileType: Localhost, localhostRef: "empty" }, /no profile "empty"/);
  });

  it("says of a policy that its kernel does not take which profile it is, and makes no container of it", async () => {
    await writeFile(join(directory, "damaged"), Buffer.alloc(4096, "no policy"));
    const id = await createContainer(daemon, pod, withSecurity({ apparmor: ofNode("damaged") }));
    const starting = daemon.cri.call(runtime.startContainer, { containerId: id });
    await failure(starting, status.FAILED_PRECONDITION, /AppArmor profile "damaged".*another kernel, or is damaged/);
    await removeContainer(daemon, id);
    // a good policy, of another name than its file's
    await cp(join(directory, "a3s-test-complain"), join(directory, "misnamed"));
    const other = await createContainer(daemon, pod, withSecurity({ apparmor: ofNode("misnamed") }));
    const asked = daemon.cri.call(runtime.startContainer, { containerId: other });
    await failure(asked, status.FAILED_PRECONDITION, /AppArmor profile "misnamed".*no profile of that name/);
    await removeContainer(daemon, other);
  });

  it("confines containers and execs of a pod with a user namespace", async function () {
    const { runtimeHandlers } = await daemon.cri.call(runtime.status, {});
    if (runtimeHandlers.find(({ name }) => name === testHandler)?.features?.userNamespaces !== true) {
      skipBecause(this, "the driver has no user namespaces");
    }
    const ids = [{ hostId: 200_000, containerId: 0, length: 65_536 }];
    const options = { pid: NamespaceMode.CONTAINER, usernsOptions: { mode: NamespaceMode.POD, uids: ids, gids: ids } };
    const mapped = await runPod(daemon, { linux: { securityContext: { namespaceOptions: options } } });
    try {
      const security = { namespaceOptions: options, apparmor: ofNode("a3s-test-deny-write") };
      const id = await startContainer(daemon, mapped, withSecurity(security));
      expect(await shell(daemon, id, `cat /proc/1/attr/current; ${current}`)).to.equal(
        "a3s-test-deny-write (enforce)\na3s-test-deny-write (enforce)\n",
      );
      expect(await tried(id, "touch /tmp/x")).to.match(/Permission denied\n1$/);
      await removeContainer(daemon, id);
    } finally {
      await removePod(daemon, mapped);
    }
  });

  it("confines containers that crun runs, too", async () => {
    const config = `[sandbox]\ncontainer_runtime = "crun"\napparmor_profiles = "${directory}"\n`;
    const byCrun = await Daemon.start({ images: [await busybox()], config });
    try {
      const its = await runPod(byCrun);
      const id = await startContainer(byCrun, its, withSecurity({ apparmor: byDefault }));
      expect(await shell(byCrun, id, `cat /proc/1/attr/current; ${current}`)).to.equal(
        `${profileName} (enforce)\n${profileName} (enforce)\n`,
      );
      await removePod(byCrun, its);
    } finally {
      await byCrun.remove();
    }
  });

  it("confines who asks for nothing where the node is configured so, but for who is privileged or Unconfined", async () => {
    const always = await Daemon.start({ images: [await busybox()], config: '[sandbox]\napparmor = "always"\n' });
    try {
      const its = await runPod(always, { linux: { securityContext: { privileged: true } } });
      const said = (security: SecurityPart): Promise<string> => runToEnd(always, its, current, withSecurity(security));
      expect(await said({})).to.equal(`${profileName} (enforce)\n`);
      expect(await said({ privileged: true })).to.equal("unconfined\n");
      expect(await said({ apparmor: { profileType: Unconfined } })).to.equal("unconfined\n");
      await removePod(always, its);
    } finally {
      await always.remove();
    }
  });

  it("says in Status that profiles are applied, and in a container's which", async () => {
    const id = await startContainer(daemon, pod, withSecurity({ apparmor: byDefault }));
    const { info } = await daemon.cri.call(runtime.status, { verbose: true });
    expect(JSON.parse(info["apparmor"] ?? "")).to.include({ profiles: "applied" });
    const told = await daemon.cri.call(runtime.containerStatus, { containerId: id, verbose: true });
    const shape = z.object({ runtimeSpec: z.object({ process: z.object({ apparmorProfile: z.string() }) }) });
    const { runtimeSpec } = shape.parse(JSON.parse(told.info["info"] ?? ""));
    expect(runtimeSpec.process.apparmorProfile).to.equal(profileName);
    await removeContainer(daemon, id);
  });

  it("goes on after a restart of the daemon: execs are confined, and new containers are", async () => {
    const id = await startContainer(daemon, pod, withSecurity({ apparmor: ofNode("a3s-test-deny-write") }));
    await daemon.stop("SIGKILL");
    await daemon.launch();
    expect(await shell(daemon, id, current)).to.equal("a3s-test-deny-write (enforce)\n");
    await removeContainer(daemon, id);
    expect(await output(current, { apparmor: byDefault })).to.equal(`${profileName} (enforce)\n`);
  });
});
