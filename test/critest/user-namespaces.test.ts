/** Pods with a user namespace of their own (hostUsers: false). */
import { chown, mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { NamespaceMode, NamespaceOption, type UserNamespace } from "../../src/gen/runtime/v1/api.js";
import { failure, runtime, status } from "../support/cri-client.js";
import type { Daemon } from "../support/daemon.js";
import {
  createContainer,
  exec,
  removeContainer,
  runPod,
  runToEnd,
  shell,
  startContainer,
  testHandler,
  type ContainerConfigPart,
  type Pod,
  type PodConfigPart,
} from "../support/pods.js";
import { sharedDaemon } from "../support/shared-daemon.js";
import { sharedPod } from "../support/shared-pod.js";
import { skipBecause } from "../support/skip.js";

const { CONTAINER, POD, NODE, TARGET } = NamespaceMode;
const mapping = { hostId: 1000, containerId: 0, length: 100_000 };
const userns: UserNamespace = { mode: POD, uids: [mapping], gids: [mapping] };

function options(pid: NamespaceMode, usernsOptions: UserNamespace | undefined): NamespaceOption {
  return { ...NamespaceOption.fromPartial({}), pid, usernsOptions };
}

const podPart: PodConfigPart = { linux: { securityContext: { namespaceOptions: options(CONTAINER, userns) } } };

async function isBuilt(daemon: Daemon): Promise<boolean> {
  const { runtimeHandlers } = await daemon.cri.call(runtime.status, {});
  return runtimeHandlers.find(({ name }) => name === testHandler)?.features?.userNamespaces === true;
}

describe("User namespaces", () => {
  let daemon: Daemon;
  let pod: Pod;
  let directory: string;
  before(async function () {
    daemon = await sharedDaemon();
    if (!(await isBuilt(daemon))) {
      await failure(
        runPod(daemon, podPart),
        status.INVALID_ARGUMENT,
        /user namespaces.*driver krun: .*driver qemu or native/,
      );
      skipBecause(this, "the driver has no user namespaces: that RunPodSandbox refuses them was seen");
    }
    directory = await mkdtemp(join(daemon.logs, "userns-"));
  });
  after(async () => {
    if ((directory as string | undefined) !== undefined) await rm(directory, { recursive: true });
  });
  sharedPod(
    () => daemon,
    async () => {
      pod = await runPod(daemon, podPart);
      return pod;
    },
  );

  const inside = (pid: NamespaceMode = CONTAINER, more: ContainerConfigPart = {}): ContainerConfigPart => ({
    linux: { securityContext: { namespaceOptions: options(pid, userns) } },
    ...more,
  });

  it("are what the request says, in init and in an exec, with processes of its own and with the pod's", async () => {
    for (const pid of [CONTAINER, POD]) {
      const line =
        "tr -s ' ' </proc/self/uid_map; tr -s ' ' </proc/self/gid_map; id -u; echo $(stat -c %u /bin /etc/passwd)";
      const wanted = " 0 1000 100000\n 0 1000 100000\n0\n0 0\n";
      expect(await runToEnd(daemon, pod, line, inside(pid))).to.equal(wanted);
      const id = await startContainer(daemon, pod, inside(pid));
      expect(await shell(daemon, id, line)).to.equal(wanted);
      await removeContainer(daemon, id);
    }
  });

  it("show the owners of volumes as they are on the host, and write as them", async () => {
    const source = join(directory, "volume");
    await mkdir(source);
    await writeFile(join(source, "theirs"), "7\n");
    await chown(join(source, "theirs"), 7, 8);
    await chown(source, 5, 5);
    const mount = { hostPath: source, containerPath: "/data", uidMappings: [mapping], gidMappings: [mapping] };
    const part = inside(CONTAINER, { mounts: [mount] });
    const id = await startContainer(daemon, pod, part);
    const line =
      "stat -c '%u %g' /data/theirs; echo new >/data/ours; chown 21:22 /data/ours; stat -c '%u %g' /data/ours";
    expect(await shell(daemon, id, line)).to.equal("7 8\n21 22\n");
    const ours = await stat(join(source, "ours"));
    expect([ours.uid, ours.gid]).to.deep.equal([21, 22]);
    await removeContainer(daemon, id);
    const user = { ...part.linux?.securityContext, runAsUser: { value: 5n }, runAsGroup: { value: 5n } };
    const made = await runToEnd(daemon, pod, "echo x >/data/by-user; stat -c '%u %g' /data/by-user; cat /data/theirs", {
      ...part,
      linux: { securityContext: user },
    });
    expect(made).to.equal("5 5\n7\n");
    expect((await stat(join(source, "by-user"))).uid).to.equal(5);
  });

  it("take the power over the guest from root, and leave it what a pod needs", async () => {
    const part = inside(CONTAINER);
    const id = await startContainer(daemon, pod, {
      ...part,
      linux: {
        securityContext: {
          ...part.linux?.securityContext,
          capabilities: { addCapabilities: ["SYS_ADMIN", "SYS_TIME", "NET_ADMIN", "SYS_RESOURCE"] },
        },
      },
    });
    // without a machine the pod's network and name are its user namespace's: native-users.test.ts
    const ofGuest = testHandler === "native" ? [] : ["hostname x", "ifconfig lo down"];
    for (const line of [...ofGuest, "echo 1 >/proc/sys/vm/drop_caches", "mknod /tmp/m c 1 1"]) {
      const done = await exec(daemon, id, ["sh", "-c", line]);
      expect([line, done.exitCode]).to.not.deep.equal([line, 0]);
    }
    const useful =
      "grep -qx 0 /proc/sys/net/ipv4/ip_unprivileged_port_start && echo x >/dev/null && touch /new /dev/shm/x && (nc -l -p 80 & sleep 1; kill $!)";
    expect(await shell(daemon, id, `${useful} && stat -c %u /new`)).to.equal("0\n");
    await removeContainer(daemon, id);
  });

  it("are the whole pod's: a container or a mount that asks for another one is refused", async () => {
    const refused = async (part: ContainerConfigPart, why: RegExp, code = status.INVALID_ARGUMENT): Promise<void> => {
      await failure(createContainer(daemon, pod, part), code, why);
    };
    const context = (usernsOptions: UserNamespace, pid = CONTAINER): ContainerConfigPart => ({
      linux: { securityContext: { namespaceOptions: options(pid, usernsOptions) } },
    });
    const other = { ...mapping, hostId: 65_536 };
    await refused(context({ mode: POD, uids: [other], gids: [mapping] }), /differ from those of the sandbox/);
    await refused(context({ mode: NODE, uids: [], gids: [] }), /say NODE/);
    await refused(context({ mode: CONTAINER, uids: [mapping], gids: [mapping] }), /differ/);
    const mount = { hostPath: directory, containerPath: "/data", uidMappings: [other], gidMappings: [mapping] };
    await refused(inside(CONTAINER, { mounts: [mount] }), /ids mapped otherwise/);
    const target = await startContainer(daemon, pod, inside());
    const joined = { ...options(TARGET, userns), targetId: target };
    const joining = { linux: { securityContext: { namespaceOptions: joined } } };
    if (testHandler !== "native") await refused(joining, /can't be joined/, status.UNIMPLEMENTED);
    await removeContainer(daemon, target);
  });

  it("are not there for a pod that has not asked for one", async () => {
    const plain = await runPod(daemon);
    const seen = await runToEnd(daemon, plain, "tr -s ' ' </proc/self/uid_map");
    expect(seen).to.equal(" 0 0 4294967295\n");
    const asked = { linux: { securityContext: { namespaceOptions: options(CONTAINER, userns) } } };
    await failure(createContainer(daemon, plain, asked), status.INVALID_ARGUMENT, /differ/);
    await daemon.cri.call(runtime.removePodSandbox, { podSandboxId: plain.id });
  });
});
