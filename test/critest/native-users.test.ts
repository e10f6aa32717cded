/** Pods of the host with a user namespace of their own (hostUsers: false): what is theirs there, and what stays the host's. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chown, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { MountPropagation, NamespaceMode, Protocol, type UserNamespace } from "../../src/gen/runtime/v1/api.js";
import { failure, runtime, status } from "../support/cri-client.js";
import { Daemon, nativeHandler } from "../support/daemon.js";
import { busybox, busyboxImage } from "../support/images.js";
import { expectSameMachine, type MachineState } from "../support/machine.js";
import {
  createContainer,
  exec,
  exited,
  logLines,
  podStatus,
  removeContainer,
  removePod,
  runPod,
  runToEnd,
  shell,
  startContainer,
  type ContainerConfigPart,
  type Pod,
  type PodConfigPart,
} from "../support/pods.js";
import { forwardedPort, KubeClient, needsKubeClient } from "../support/streaming/kube-client.js";
import { spdyCommand } from "../support/streaming/spdy-client.js";
import { nodeAddress, nodeLinks, NodeNetwork } from "../support/node-network.js";
import { eventually, limit } from "../support/wait.js";

const { CONTAINER, POD, NODE, TARGET } = NamespaceMode;
/** As kubelet chooses them: 65,536 ids for each pod. */
const mapping = { hostId: 131_072, containerId: 0, length: 65_536 };
const userns: UserNamespace = { mode: POD, uids: [mapping], gids: [mapping] };
const owned = { uidMappings: [mapping], gidMappings: [mapping] };

const withUsers = (more: object = {}, security: object = {}): PodConfigPart => ({
  linux: { securityContext: { namespaceOptions: { pid: CONTAINER, usernsOptions: userns, ...more }, ...security } },
});

/** A container in the pod's user namespace. */
function inside(security: object = {}, more: ContainerConfigPart = {}): ContainerConfigPart {
  const namespaceOptions = { pid: CONTAINER, usernsOptions: userns };
  return { linux: { securityContext: { namespaceOptions, ...security } }, ...more };
}

const subnet = "10.96.31.0/24";

async function owner(path: string): Promise<string> {
  const { uid, gid } = await stat(path);
  return `${String(uid)} ${String(gid)}`;
}

describe("user namespaces of pods of the host", function () {
  this.timeout(limit(60_000));
  let daemon: Daemon;
  let atStart: MachineState;
  let pod: Pod;
  let directory: string;

  before(async () => {
    const config = process.env["A3S_TEST_HANDLER"] === "native" ? "" : nativeHandler;
    daemon = await Daemon.start({ images: [await busybox()], config });
    directory = await mkdtemp(join(daemon.logs, "users-"));
    atStart = await daemon.machine();
    pod = await runPod(daemon, withUsers(), "native");
  });

  after("nothing is left", async () => {
    try {
      await removePod(daemon, pod);
      await expectSameMachine(daemon.scope, atStart);
    } finally {
      await daemon.remove();
    }
  });

  /** Pid on the host of a container's only program of that name. */
  async function pidOf(id: string): Promise<number> {
    for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
      const groups = await readFile(`/proc/${pid}/cgroup`, "utf8").catch(() => "");
      if (groups.includes(`/${id}\n`)) return Number(pid);
    }
    throw new Error(`no process of ${id}`);
  }

  it("are told in the handler's features, and hold for init, exec, and the process on the host", async () => {
    const { runtimeHandlers } = await daemon.cri.call(runtime.status, {});
    expect(runtimeHandlers.find(({ name }) => name === "native")?.features?.userNamespaces).to.equal(true);
    const id = await startContainer(daemon, pod, inside());
    const line =
      "tr -s ' ' </proc/self/uid_map; tr -s ' ' </proc/self/gid_map; id -u; stat -c '%u %g' / /bin /etc/passwd";
    const wanted = " 0 131072 65536\n 0 131072 65536\n0\n0 0\n0 0\n0 0\n";
    expect(await shell(daemon, id, line)).to.equal(wanted);
    expect(await runToEnd(daemon, pod, line, inside())).to.equal(wanted);
    const facts = await readFile(`/proc/${await pidOf(id)}/status`, "utf8");
    expect(/^Uid:\t(\d+)/m.exec(facts)?.[1]).to.equal("131072");
    await removeContainer(daemon, id);
  });

  it("are one for all containers of the pod, which owns its network, IPC and host name", async () => {
    const [one, other] = [await startContainer(daemon, pod, inside()), await startContainer(daemon, pod, inside())];
    const kinds = ["user", "net", "ipc", "uts"] as const;
    for (const kind of kinds) {
      const ofOne = await readlink(`/proc/${await pidOf(one)}/ns/${kind}`);
      expect(await readlink(`/proc/${await pidOf(other)}/ns/${kind}`)).to.equal(ofOne);
      expect(await shell(daemon, one, `readlink /proc/self/ns/${kind}`)).to.equal(`${ofOne}\n`);
      expect(ofOne).to.not.equal(await readlink(`/proc/self/ns/${kind}`));
    }
    expect(await shell(daemon, one, "stat -c %u /proc/sys/net/ipv4/ip_forward /dev/mqueue /dev/shm")).to.equal(
      "0\n0\n0\n",
    );
    await removeContainer(daemon, one);
    await removeContainer(daemon, other);
  });

  it("let capabilities count in what is the pod's, and nowhere else", async () => {
    const capabilities = {
      addCapabilities: ["NET_ADMIN", "SYS_ADMIN", "SYS_TIME", "SYS_RESOURCE", "SYS_PTRACE", "SYS_CHROOT"],
    };
    const id = await startContainer(daemon, pod, inside({ capabilities }));
    await shell(daemon, id, "ifconfig lo:1 127.7.7.7 && ifconfig lo:1 | grep -q 127.7.7.7 && ifconfig lo:1 down");
    await shell(daemon, id, "was=$(hostname); hostname other && hostname $was");
    await shell(daemon, id, "mkdir /mnt/t && mount -t tmpfs none /mnt/t && umount /mnt/t");
    for (const line of [
      "echo 1 >/proc/sys/vm/drop_caches",
      "echo x >/proc/sys/kernel/core_pattern",
      "date -s @0 2>&1 | grep -q permitted && exit 1",
      "mknod /tmp/m c 1 1",
      "mknod /tmp/d b 254 0",
    ]) {
      const done = await exec(daemon, id, ["sh", "-c", line]);
      expect([line, done.exitCode]).to.not.deep.equal([line, 0]);
    }
    await removeContainer(daemon, id);
  });

  it("leave a pod ping, low ports, and its own output by name, also for a user that is not root", async () => {
    const user = { runAsUser: { value: 5n }, runAsGroup: { value: 6n } };
    const line = "(nc -l -p 81 & sleep 0.2; kill $!) && echo ok >/dev/stdout";
    for (const security of [{}, user]) {
      expect(await runToEnd(daemon, pod, line, inside(security))).to.equal("ok\n");
      const id = await startContainer(daemon, pod, inside(security));
      expect(await shell(daemon, id, line)).to.equal("ok\n");
      await removeContainer(daemon, id);
    }
    expect(await runToEnd(daemon, pod, "ping -c 1 -W 5 127.0.0.1 >/dev/null && echo ok", inside())).to.equal("ok\n");
  });

  it("show the owners of volumes, of single files and of images as they are, and write as them", async () => {
    const source = join(directory, "volume");
    await mkdir(source);
    await writeFile(join(source, "theirs"), "7\n");
    await chown(join(source, "theirs"), 7, 8);
    await chown(source, 5, 5);
    const mounts = [
      { hostPath: source, containerPath: "/data", ...owned },
      { hostPath: join(source, "theirs"), containerPath: "/one", readonly: true, ...owned },
      { containerPath: "/image", image: { image: busyboxImage }, readonly: true, ...owned },
    ];
    const id = await startContainer(daemon, pod, inside({}, { mounts }));
    const line =
      "stat -c '%u %g' /data/theirs /one /image/bin /etc/hosts; echo new >/data/ours; chown 21:22 /data/ours; echo x >>/etc/hosts";
    expect(await shell(daemon, id, line)).to.equal("7 8\n7 8\n0 0\n0 0\n");
    expect(await owner(join(source, "ours"))).to.equal("21 22");
    expect((await exec(daemon, id, ["sh", "-c", "echo x >/one"])).exitCode).to.not.equal(0);
    await removeContainer(daemon, id);
    const user = { runAsUser: { value: 5n }, runAsGroup: { value: 5n } };
    const made = "echo x >/data/by-user; stat -c '%u %g' /data/by-user; cat /data/theirs";
    expect(await runToEnd(daemon, pod, made, inside(user, { mounts }))).to.equal("5 5\n7\n");
    expect(await owner(join(source, "by-user"))).to.equal("5 5");
  });

  it("see what the host mounts in a volume later, where asked, and send nothing back", async () => {
    const source = join(directory, "shared");
    await mkdir(source);
    execFileSync("mount", ["-t", "tmpfs", "none", source]);
    try {
      execFileSync("mount", ["--make-shared", source]);
      await mkdir(join(source, "late"));
      const mount = { hostPath: source, containerPath: "/data", ...owned };
      const inward = { ...mount, propagation: MountPropagation.PROPAGATION_HOST_TO_CONTAINER };
      const id = await startContainer(daemon, pod, inside({}, { mounts: [inward] }));
      execFileSync("mount", ["-t", "tmpfs", "none", join(source, "late")]);
      await writeFile(join(source, "late", "x"), "");
      expect(await shell(daemon, id, "ls /data/late")).to.equal("x\n");
      const both = { ...mount, propagation: MountPropagation.PROPAGATION_BIDIRECTIONAL };
      await failure(
        createContainer(daemon, pod, inside({}, { mounts: [both] })),
        status.INVALID_ARGUMENT,
        /don't reach the host/,
      );
      await removeContainer(daemon, id);
      expect(execFileSync("ls", [join(source, "late")], { encoding: "utf8" })).to.equal("x\n");
    } finally {
      execFileSync("umount", ["-R", "-l", source]);
    }
  });

  it("need file systems that can show other owners: another one is refused, and nothing is left", async () => {
    const before = await daemon.machine();
    const mount = { hostPath: "/proc/sys", containerPath: "/data", ...owned };
    const part = inside({}, { mounts: [mount] });
    await failure(createContainer(daemon, pod, part), status.FAILED_PRECONDITION, /\/proc\/sys can't show its owners/);
    await expectSameMachine(daemon.scope, before);
  });

  it("hold for a process namespace of the pod and one that is joined, and keep the host's root out of both", async () => {
    const sharing = await runPod(daemon, withUsers({ pid: POD }), "native");
    const part = (more: object): ContainerConfigPart =>
      inside({
        namespaceOptions: { usernsOptions: userns, ...more },
        capabilities: { addCapabilities: ["SYS_PTRACE"] },
      });
    const target = await startContainer(daemon, sharing, part({ pid: POD }));
    const joined = await startContainer(daemon, sharing, part({ pid: TARGET, targetId: target }));
    for (const id of [target, joined]) {
      expect(await shell(daemon, id, "stat -c %u /proc/1 && grep -c . /proc/1/uid_map && pidof top | wc -w")).to.equal(
        "0\n1\n2\n",
      );
      expect((await exec(daemon, id, ["ls", "/proc/1/root/"])).exitCode).to.not.equal(0);
    }
    await removePod(daemon, sharing);
  });

  it("give terminals to the container's user, in init and in an exec", async () => {
    const user = { runAsUser: { value: 5n }, runAsGroup: { value: 6n } };
    const line = "stat -c '%u %t' $(tty); echo by-name >$(tty)";
    const tty = inside(user, { command: ["sh", "-c", line], tty: true });
    const first = await startContainer(daemon, pod, tty);
    const { logPath } = await exited(daemon, first);
    expect((await logLines(logPath)).map(({ text }) => text.trim())).to.deep.equal(["5 88", "by-name"]);
    await removeContainer(daemon, first);
    const id = await startContainer(daemon, pod, inside(user));
    const options = { tty: true, stdin: false, stdout: true, stderr: false };
    const { url } = await daemon.cri.call(runtime.exec, { ...options, containerId: id, cmd: ["sh", "-c", line] });
    const { stdout, error } = await spdyCommand(url, options);
    expect((await stdout.ending()).split("\r\n")).to.deep.equal(["5 88", "by-name", ""]);
    expect(JSON.parse(await error.ending())).to.deep.equal({ status: "Success" });
    await removeContainer(daemon, id);
  });

  it("hold for privileged containers and read-only roots", async () => {
    const line = "tr -s ' ' </proc/self/uid_map; (echo 1 >/proc/sys/vm/drop_caches) 2>/dev/null || echo refused";
    const powerful = await runPod(daemon, withUsers({}, { privileged: true }), "native");
    expect(await runToEnd(daemon, powerful, line, inside({ privileged: true }))).to.equal(" 0 131072 65536\nrefused\n");
    await removePod(daemon, powerful);
    const readonly = "touch /x 2>/dev/null || echo refused; touch /dev/shm/x";
    expect(await runToEnd(daemon, pod, readonly, inside({ readonlyRootfs: true }))).to.equal("refused\n");
  });

  it("are refused beside the host's namespaces and with ids that can't be, and nothing is left", async () => {
    const before = await daemon.machine();
    for (const kind of ["network", "pid", "ipc"] as const) {
      const wrong = runPod(daemon, withUsers({ [kind]: NODE }), "native");
      await failure(
        wrong,
        status.INVALID_ARGUMENT,
        new RegExp(`userns_options is POD, and the ${kind} namespace is the host's`),
      );
    }
    const root = { ...userns, gids: [{ ...mapping, hostId: 0 }] };
    await failure(
      runPod(daemon, withUsers({ usernsOptions: root }), "native"),
      status.INVALID_ARGUMENT,
      /root's own id/,
    );
    await expectSameMachine(daemon.scope, before);
  });

  it("last over a restart of the daemon, by kill -9", async () => {
    const source = join(directory, "restart");
    await mkdir(source);
    const old = await startContainer(daemon, pod, inside());
    await daemon.stop("SIGKILL");
    await daemon.launch();
    await eventually("the pod is taken up again", 20_000, async () => await shell(daemon, old, "id -u"));
    const mounts = [{ hostPath: source, containerPath: "/data", ...owned }];
    const line = "tr -s ' ' </proc/self/uid_map; stat -c %u / /data; echo x >/data/new";
    expect(await runToEnd(daemon, pod, line, inside({}, { mounts }))).to.equal(" 0 131072 65536\n0\n0\n");
    expect(await owner(join(source, "new"))).to.equal("0 0");
    await removeContainer(daemon, old);
    await rm(source, { recursive: true });
  });
});

describe("user namespaces of pods of the host on a network of plugins", function () {
  this.timeout(limit(60_000));
  const hostPort = 12_300;
  let node: NodeNetwork;
  let daemon: Daemon;
  let atStart: MachineState;
  let directory: string;
  let pod: Pod;
  let address: string;
  let server: string;

  before(async () => {
    node = await NodeNetwork.create();
    await node.configure([
      { type: "bridge", bridge: "pods", isGateway: true, ipMasq: true, hairpinMode: true, ipam: node.ipam(subnet) },
      { type: "portmap", capabilities: { portMappings: true }, snat: true },
      { type: "tuning", sysctl: { "net.core.somaxconn": "500" } },
    ]);
    const handler = process.env["A3S_TEST_HANDLER"] === "native" ? "" : nativeHandler;
    const config = `${node.daemonConfig}${handler}`;
    daemon = await Daemon.start({ images: [await busybox()], config, nodeNetns: node.netns });
    atStart = await daemon.machine();
    directory = await mkdtemp(join(daemon.logs, "net-"));
    const portMappings = [{ hostPort, containerPort: 8080, protocol: Protocol.TCP }];
    const sysctls = { "net.ipv4.ip_forward": "1" };
    const { securityContext } = withUsers().linux ?? {};
    pod = await runPod(daemon, { portMappings, linux: { securityContext, sysctls } }, "native");
    address = (await podStatus(daemon, pod.id)).network?.ip ?? "";
    server = await startContainer(daemon, pod, inside({}, { command: ["httpd", "-f", "-p", "8080", "-h", "/etc"] }));
  });

  after("addresses, links and all else are given back", async () => {
    try {
      await removePod(daemon, pod);
      await rm(directory, { recursive: true });
      expect(await node.reserved()).to.deep.equal([]);
      expect((await node.links()).filter((name) => ![...nodeLinks, "pods"].includes(name))).to.deep.equal([]);
      await expectSameMachine(daemon.scope, atStart);
    } finally {
      await daemon.remove();
      await node.remove();
    }
  });

  const fetched = async (from: string, port = 8080): Promise<string> => {
    const wait = `{ signal: AbortSignal.timeout(${limit(20_000)}) }`;
    const script = `const answer = await fetch("http://${from}:${port}/passwd", ${wait}); console.log(await answer.text());`;
    return await node.run(process.execPath, "--input-type=module", "-e", script);
  };

  it("have the addresses that plugins give, their sysctls, and are reached there and by a host port", async () => {
    expect(await node.reserved()).to.deep.equal([address]);
    const line =
      "ip -o -4 addr show dev eth0 | grep -o 'inet [0-9.]*'; cat /proc/sys/net/core/somaxconn /proc/sys/net/ipv4/ip_forward; stat -c %u /proc/sys/net/ipv4/ip_forward";
    expect(await shell(daemon, server, line)).to.equal(`inet ${address}\n500\n1\n0\n`);
    for (const [to, port] of [[address, 8080] as const, [nodeAddress, hostPort] as const]) {
      expect(await fetched(to, port)).to.match(/^root:/);
    }
    // the pod's own host port, from inside, and the node
    expect(await shell(daemon, server, `wget -qO- -T 20 http://${nodeAddress}:${hostPort}/passwd`)).to.match(/^root:/);
    expect(await shell(daemon, server, `ping -c 1 -W 10 ${nodeAddress} >/dev/null && echo ok`)).to.equal("ok\n");
  });

  it("reach a pod with other ids, whose volumes are its own", async () => {
    const more = { ...mapping, hostId: 262_144 };
    const others: UserNamespace = { mode: POD, uids: [more], gids: [more] };
    const options = { pid: CONTAINER, usernsOptions: others };
    const other = await runPod(daemon, withUsers(options), "native");
    const mounts = [{ hostPath: directory, containerPath: "/data", uidMappings: [more], gidMappings: [more] }];
    const id = await startContainer(daemon, other, inside({ namespaceOptions: options }, { mounts }));
    expect(await shell(daemon, id, "tr -s ' ' </proc/self/uid_map")).to.equal(" 0 262144 65536\n");
    expect(await shell(daemon, id, `wget -qO- -T 20 http://${address}:8080/passwd`)).to.match(/^root:/);
    await shell(daemon, id, "echo theirs >/data/other; chmod 600 /data/other");
    const shown = await runToEnd(daemon, pod, "stat -c %u /data/other; cat /data/other", {
      ...inside({}, { mounts: [{ hostPath: directory, containerPath: "/data", ...owned }] }),
    });
    expect(shown).to.equal("0\ntheirs\n");
    await removePod(daemon, other);
    expect(await node.reserved()).to.deep.equal([address]);
  });

  const nothing = { tty: false, stdin: false, stdout: false, stderr: false };
  /** client-go's, on the node, where the streaming server is. */
  const client = (url: string, ...flags: readonly string[]): KubeClient =>
    new KubeClient(["command", "-url", url, "-transport", "spdy", ...flags], 60_000, { netns: node.netns });

  it("attach: what is typed comes back, and is in the log", async function () {
    needsKubeClient(this);
    const user = { runAsUser: { value: 5n }, runAsGroup: { value: 6n } };
    const part = inside(user, { command: ["cat"], stdin: true, stdinOnce: true });
    const id = await startContainer(daemon, pod, part);
    const { url } = await daemon.cri.call(runtime.attach, { ...nothing, stdin: true, stdout: true, containerId: id });
    const typing = client(url, "-stdin", "-stdout");
    typing.stdin.end("typed in\n");
    const { error } = await typing.ended;
    expect([error, typing.stdout]).to.deep.equal(["", "typed in\n"]);
    const { logPath, exitCode } = await exited(daemon, id);
    expect(exitCode).to.equal(0);
    expect((await logLines(logPath)).map(({ text }) => text)).to.deep.equal(["typed in"]);
    await removeContainer(daemon, id);
  });

  it("cp: a tar in and a tar out, with the owners that it names", async function () {
    needsKubeClient(this);
    const source = join(directory, "file");
    const content = Buffer.alloc(1 << 20, "copied ");
    await writeFile(source, content);
    await chown(source, 7, 8);
    const packed = execFileSync("tar", ["cf", "-", "-C", directory, "file"], { maxBuffer: 4 << 20 });
    await shell(daemon, server, "mkdir /cp");
    const wanted = { ...nothing, stdout: true, stderr: true, containerId: server };
    const cmdIn = ["tar", "xmf", "-", "-C", "/cp"];
    const sender = client(
      (await daemon.cri.call(runtime.exec, { ...wanted, stdin: true, cmd: cmdIn })).url,
      ...["-stdin", "-stdout", "-stderr"],
    );
    sender.stdin.end(packed);
    expect(await sender.ended).to.include({ error: "", exitCode: 0 });
    expect([sender.stdout, sender.stderr]).to.deep.equal(["", ""]);
    expect(await shell(daemon, server, "stat -c '%u %g %s' /cp/file")).to.equal(`7 8 ${content.length}\n`);
    await rm(source);
    const cmdOut = ["tar", "cf", "-", "-C", "/cp", "file"];
    const unpack = spawn("tar", ["xpf", "-", "-C", directory], { stdio: ["pipe", "inherit", "inherit"] });
    const unpacked = once(unpack, "close");
    const { url } = await daemon.cri.call(runtime.exec, { ...wanted, cmd: cmdOut });
    const flags = ["command", "-url", url, "-transport", "spdy", "-stdout", "-stderr"];
    const receiver = new KubeClient(flags, 60_000, { netns: node.netns, output: unpack.stdin });
    expect(await receiver.ended).to.include({ error: "", exitCode: 0 });
    expect((await unpacked)[0]).to.equal(0);
    expect((await readFile(source)).equals(content)).to.equal(true);
    expect(await owner(source)).to.equal("7 8");
    await shell(daemon, server, "rm -r /cp");
  });

  it("port-forward: reaches a server on the pod's loopback, over a restart of the daemon too", async function () {
    needsKubeClient(this);
    const command = ["httpd", "-f", "-p", "127.0.0.1:8081", "-h", "/etc"];
    const id = await startContainer(daemon, pod, inside({}, { command }));
    const forwarded = async (): Promise<string> => {
      const { url } = await daemon.cri.call(runtime.portForward, { podSandboxId: pod.id, port: [] });
      const flags = ["-url", url, "-transport", "spdy", "-port", "8081"];
      const { port, client: forwarder } = await forwardedPort(flags, 60_000, { netns: node.netns });
      const text = await fetched("127.0.0.1", port);
      forwarder.stdin.end();
      expect((await forwarder.ended).error).to.equal("");
      return text;
    };
    const served = async (): Promise<true | undefined> =>
      (await shell(daemon, id, "netstat -ltn")).includes("127.0.0.1:8081") ? true : undefined;
    await eventually("it listens", 20_000, served);
    expect(await forwarded()).to.match(/^root:/);
    await daemon.stop("SIGKILL");
    await daemon.launch();
    await eventually("the pod is taken up again", 20_000, served);
    expect(await forwarded()).to.match(/^root:/);
    expect((await podStatus(daemon, pod.id)).network?.ip).to.equal(address);
    expect(await fetched(nodeAddress, hostPort)).to.match(/^root:/);
    await removeContainer(daemon, id);
  });
});
