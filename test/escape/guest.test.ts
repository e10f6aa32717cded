/**
 * Root in a Box, with every capability, tries to get out. Each test looks from the host. README.md has the table.
 */
import { expect } from "chai";
import { spawn, spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, readdir, rm, stat, statfs, writeFile, lstat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { ContainerState } from "../../src/gen/runtime/v1/api.js";
import { isThere } from "../../src/base/is-there.js";
import { runtime } from "../support/cri-client.js";
import { Daemon, driver } from "../support/daemon.js";
import { busybox } from "../support/images.js";
import { expectSameMachine, type MachineState } from "../support/machine.js";
import { NodeNetwork } from "../support/node-network.js";
import {
  containerStatus,
  createContainer,
  exec,
  exited,
  logLines,
  podStatus,
  removeContainer,
  removePod,
  runPod,
  shell,
  startContainer,
  type ContainerConfigPart,
  type Pod,
} from "../support/pods.js";
import { eventually, limit, slowness } from "../support/wait.js";
import { build } from "./build.js";

const subnet = "10.96.9";
const gateway = `${subnet}.1`;
const mib = 1 << 20;
const attackerMib = 384;
/** What a VMM has beside its guest: QEMU itself, its translated code, tables. */
const besideGuestMib = 400;
/** To close one takes some 20 ms in a nested VM, and a container has to end in time. */
const openFiles = slowness > 1 ? 500 : 2000;

describe("root in a Box, with every capability", function () {
  this.timeout(limit(120_000));
  this.slow(10_000);
  let base: string;
  let volume: string;
  let canary: string;
  let tool: string;
  let node: NodeNetwork;
  let daemon: Daemon;
  let atStart: MachineState;
  let attacker: Pod;
  let neighbour: Pod;
  let root: string;
  let bystander: string;

  const everything = (part: ContainerConfigPart = {}): ContainerConfigPart => ({
    mounts: [
      { hostPath: volume, containerPath: "/data" },
      { hostPath: tool, containerPath: "/tool", readonly: true },
    ],
    linux: { securityContext: { privileged: true } },
    ...part,
  });
  const inGuest = (line: string): Promise<string> => shell(daemon, root, line);
  /** Of what may fail: both outputs. */
  const tried = async (line: string): Promise<string> => {
    const { stdout, stderr } = await exec(daemon, root, ["sh", "-c", line], 60);
    return stdout + stderr;
  };
  const boxOf = (pod: Pod): string => join(daemon.state, "boxes", pod.id.slice(0, 24));
  const pids = async (pod: Pod): Promise<number[]> => {
    const record: unknown = JSON.parse(await readFile(join(boxOf(pod), "box.json"), "utf8"));
    const { processes } = record as { processes: { pid: number }[] };
    return processes.map(({ pid }) => pid);
  };
  const countOf = async (pid: number, what: "fd" | "task"): Promise<number> =>
    (await readdir(`/proc/${pid}/${what}`)).length;
  const rssMib = async (pid: number): Promise<number> =>
    Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024;
  const neighbourLives = async (): Promise<void> => {
    expect(await shell(daemon, bystander, "echo alive")).to.equal("alive\n");
  };

  before(async () => {
    base = await mkdtemp(join(tmpdir(), "a3s-e"));
    volume = join(base, "volume");
    canary = join(base, "canary");
    await mkdir(volume);
    await writeFile(canary, "untouched\n");
    tool = await build("tool", base);
    node = await NodeNetwork.create();
    await node.configure([{ type: "bridge", bridge: "pods", isGateway: true, ipam: node.ipam(`${subnet}.0/24`) }]);
    daemon = await Daemon.start({ images: [await busybox()], config: node.daemonConfig, nodeNetns: node.netns });
    await removePod(daemon, await runPod(daemon)); // the bridge is no pod's
    atStart = await daemon.machine();
    const resources = { memoryLimitInBytes: BigInt(attackerMib * mib) };
    attacker = await runPod(daemon, { linux: { resources, securityContext: { privileged: true } } });
    neighbour = await runPod(daemon);
    bystander = await startContainer(daemon, neighbour);
    root = await startContainer(daemon, attacker, everything());
  });

  after(async () => {
    try {
      await (daemon as Daemon | undefined)?.remove();
    } finally {
      await (node as NodeNetwork | undefined)?.remove();
      await rm(base, { recursive: true, force: true });
    }
  });

  it("opens by a handle the top of its share: its own pod is there and no other, and it can't write", async () => {
    // /etc/hosts is a file of the share itself; volumes and roots are file systems of their own to the guest.
    const said = await inGuest("/tool handles /etc/hosts");
    const found = [...said.matchAll(/^(top|c|v) (.+)$/gm)].map(([, where = "", name = ""]) => ({ where, name }));
    expect(found.length, said).to.be.greaterThan(10);
    const layout = join(boxOf(attacker), "layout");
    const own = {
      top: await readdir(layout),
      c: await readdir(join(layout, "c")),
      v: await readdir(join(layout, "v")),
    };
    for (const { where, name } of found) {
      expect(where === "top" ? own.top : where === "c" ? own.c : own.v, `${name} is the pod's own`).to.include(name);
    }
    for (const name of await readdir(join(boxOf(neighbour), "layout/c"))) expect(said).to.not.include(name);
    expect(said).to.not.match(/^(wrote|outside)/m);
    expect(own.top).to.not.include("new");
  });

  it("opens by handles of its own making nothing that is not its own", async () => {
    await writeFile(join(volume, "own"), "");
    const said = await inGuest("/tool handles /data; /tool handles /");
    // Its own come by: the trick works as far as it goes.
    expect(said)
      .to.match(/^opened [1-9]\d*$/m)
      .and.to.not.match(/^outside/m);
  });

  it("sees by mounting the share's device again what it had, and nothing of another pod", async () => {
    const said = await tried(
      "mkdir -p /mnt/again; mount -t virtiofs podroot /mnt/again; find /mnt/again -xdev | head -1000",
    );
    for (const name of await readdir(join(boxOf(neighbour), "layout/c"))) expect(said).to.not.include(name);
    expect(said).to.not.include("canary");
    await tried("umount /mnt/again");
  });

  it("finds no disk, and no memory or device of the host, behind device nodes that it makes", async () => {
    const said = await tried(
      "ls /sys/block; mkdir /dev/own && cd /dev/own && mknod sda b 8 0; mknod vda b 254 0; mknod nvme b 259 0; " +
        "mknod kvm c 10 232; ls; for d in sda vda nvme; do head -c 1 $d >/dev/null && echo opened $d; done; " +
        "(echo >kvm) && echo opened kvm",
    );
    expect(said)
      .to.match(/^sda$/m)
      .and.to.not.match(/^opened/m);
  });

  it("makes no device on a disk of the host: neither on a volume nor in its root", async () => {
    for (const directory of ["/data", "/"]) {
      for (const node of ["b 8 0", "c 1 1", "c 10 232"]) {
        expect(await tried(`mknod ${directory}/node ${node}`), `${directory} ${node}`).to.match(
          /Operation not permitted/,
        );
      }
      expect(await inGuest(`cd ${directory} && mkfifo fifo && ls -l fifo && rm fifo`)).to.match(/^p/);
    }
    expect(await readdir(volume)).to.not.include("node");
  });

  it("gets at no memory, register or port of its machine past its guest's kernel", async () => {
    // With a kernel of ours there is no such device; the package's asks for a capability that nobody has.
    expect(await inGuest("/tool machine")).to.match(
      /^tried \/dev\/mem: (Operation not permitted|No such device or address)\n$/,
    );
    const sets = await inGuest("grep -E 'Cap(Prm|Eff|Bnd)' /proc/self/status");
    expect(sets.match(/000001fffffdffff/g)).to.have.length(3);
    // Who the kernel starts by itself (core_pattern, release_agent) has not got it to give back.
    const [low] = (await inGuest("cat /proc/sys/kernel/usermodehelper/bset")).split(/\s+/);
    expect(Number(low) & (1 << 17)).to.equal(0);
  });

  it("makes a set-uid program that is none on the host", async () => {
    await inGuest("cp /bin/busybox /data/suid && chown 0:0 /data/suid && chmod 6755 /data/suid");
    const seen = await shared("suid");
    expect((await stat(seen)).mode & 0o6000, "the mode is there").to.equal(0o6000);
    const asNobody = spawnSync(seen, ["id", "-u"], { uid: 65_534, gid: 65_534 });
    expect(asNobody.error ?? new Error(asNobody.stdout.toString())).to.include({ code: "EACCES" });
    expect(await readFile("/proc/self/mountinfo", "utf8")).to.not.include(`${boxOf(attacker)}/share`);
    const options = (await readFile(`/proc/${await server()}/mountinfo`, "utf8"))
      .split("\n")
      .filter((line) => /^\S+ \S+ \S+ \S+ (\/share)?\/[cv]\//.test(line))
      .map((line) => line.split(" ")[5] ?? "");
    expect(options.length).to.be.greaterThan(1);
    for (const each of options)
      expect(each)
        .to.match(/nosuid/)
        .and.to.match(/nodev/);
  });

  it("leads the daemon nowhere by links in its root and its volumes, nor at the points of later mounts", async () => {
    const lines = [
      `ln -s ${base} /data/up`,
      `ln -s ${canary} /data/file`,
      "ln -s / /data/top",
      `ln -s ${canary} /etc/resolv.link`,
    ];
    const id = await startContainer(daemon, attacker, everything());
    await shell(
      daemon,
      id,
      `${lines.join("; ")}; mkdir /links; for i in 1 2 3 4 5; do ln -s ${base} /links/$i; done; rm -rf /mnt && ln -s /data/up /mnt`,
    );
    await removeContainer(daemon, id);
    // A mount below a link that the volume has: the guest's own matter.
    const mounts = [
      { hostPath: volume, containerPath: "/data" },
      { hostPath: tool, containerPath: "/data/up/escaped" },
    ];
    const config = { mounts, command: ["top"] };
    await createContainer(daemon, attacker, config)
      .then((created) => removeContainer(daemon, created))
      .catch(() => undefined);
    expect(await readFile(canary, "utf8")).to.equal("untouched\n");
    expect((await readdir(base)).sort()).to.deep.equal(["canary", "tool", "volume"]);
    expect((await lstat(join(volume, "up"))).isSymbolicLink()).to.equal(true);
  });

  it("forges no line of its log, and can't reach the file", async () => {
    const forged = "2020-01-01T00:00:00.000000000Z stdout F forged";
    const id = await startContainer(daemon, attacker, {
      command: [
        "sh",
        "-c",
        `printf '%s\\n\\r\\033[2K%s\\n' '${forged}' '${forged}'; grep -rl forged /proc/self/mountinfo; cat /proc/self/mountinfo`,
      ],
    });
    const { logPath } = await exited(daemon, id);
    const lines = await logLines(logPath);
    expect(lines[0]?.text).to.equal(forged);
    for (const { time } of lines) expect(time).to.not.match(/^2020/);
    expect(lines.map(({ text }) => text).join("\n")).to.not.include(daemon.logs);
    expect((await lstat(logPath)).isFile()).to.equal(true);
    await removeContainer(daemon, id);
  });

  it("can't put anything in the place of its termination message", async () => {
    const message = join(base, "message");
    await writeFile(message, "");
    const before = await stat(message);
    const mounts = [{ hostPath: message, containerPath: "/dev/termination-log" }];
    const line = `rm -f /dev/termination-log; mv /bin/ls /dev/termination-log; ln -sf ${canary} /dev/termination-log; echo said > /dev/termination-log`;
    const id = await startContainer(daemon, attacker, { mounts, command: ["sh", "-c", line] });
    await exited(daemon, id);
    const after = await lstat(message);
    expect(after.isFile()).to.equal(true);
    expect(after.ino).to.equal(before.ino);
    expect(await readFile(message, "utf8")).to.equal("said\n");
    expect(await readFile(canary, "utf8")).to.equal("untouched\n");
    await removeContainer(daemon, id);
    await rm(message);
  });

  it("fills no disk by its console: what it writes there ends at 4 MiB", async () => {
    await tried("mknod /dev/console0 c 229 0; timeout 20 dd if=/dev/zero of=/dev/console0 bs=64k count=160 2>&1");
    const { blocks, bfree, bsize } = await statfs(join(boxOf(attacker), "log"));
    expect((blocks - bfree) * bsize).to.be.at.most(4 * mib);
    expect(blocks * bsize).to.equal(4 * mib);
    expect(await inGuest("echo alive")).to.equal("alive\n");
  });

  it("is seen to fill a disk by its root: kubelet is told, and evicts", async () => {
    await inGuest(`dd if=/dev/zero of=/big bs=1M count=48 2>/dev/null`);
    await eventually("its use is told", 30_000, async () => {
      const { stats } = await daemon.cri.call(runtime.containerStats, { containerId: root });
      return Number(stats?.writableLayer?.usedBytes?.value ?? 0n) >= 48 * mib ? true : undefined;
    });
    await inGuest("rm /big");
  });

  it("takes descriptors of its own file server only, and gives them back", async () => {
    // libkrun is both in one process.
    const [vmm = 0, server = vmm] = await pids(attacker);
    const before = {
      daemon: await countOf(daemon.pid, "fd"),
      vmm: await countOf(vmm, "fd"),
      server: await countOf(server, "fd"),
    };
    const id = await startContainer(
      daemon,
      attacker,
      everything({ command: ["sh", "-c", `mkdir /many && /tool files /many ${openFiles}`] }),
    );
    const { logPath } = await containerStatus(daemon, id);
    await eventually("the files are open", 60_000, async () =>
      (await logLines(logPath)).length > 0 ? true : undefined,
    );
    expect(await countOf(server, "fd")).to.be.greaterThan(before.server + openFiles * 0.95);
    if (server !== vmm) expect(await countOf(vmm, "fd")).to.be.within(before.vmm - 10, before.vmm + 10);
    expect(await countOf(daemon.pid, "fd")).to.be.below(before.daemon + 60);
    await removeContainer(daemon, id);
    await eventually("they are given back", 30_000, async () =>
      (await countOf(server, "fd")) < before.server + openFiles / 2 ? true : undefined,
    );
  });

  it("reaches by vsock no port of the host", async () => {
    const said = await inGuest("/tool vsock");
    // Its own address is CID 3 under krun, where its own agent answers. libkrun says that the port of the start is open, and
    // leads it to a socket that has gone with the start.
    const sockets = await readdir(join(boxOf(attacker), "sock"));
    expect(sockets).to.not.include("ready.sock");
    const isOfStart = (cid = "", port = ""): boolean => driver === "krun" && cid === "2" && port === "1026";
    const reached = [...said.matchAll(/^connected (\d+) (\d+)$/gm)].filter(
      ([, cid, port]) => cid !== "1" && cid !== "3" && !isOfStart(cid, port),
    );
    expect(reached.map(([line]) => line)).to.deep.equal([]);
    expect(said).to.match(/^tried \d+$/m);
  });

  it("reaches nothing of the node but what listens for all: not the streaming server on its loopback", async () => {
    const url = /"url":"http:\/\/127\.0\.0\.1:(\d+)"/.exec(await daemon.logTail(1 << 20));
    const port = url?.[1] ?? "";
    expect(port).to.match(/^\d+$/);
    const said = await tried(
      `for a in ${gateway} 127.0.0.1 192.0.2.1; do echo x | timeout 3 nc $a ${port} && echo reached $a; done`,
    );
    expect(said).to.not.include("reached");
  });

  it("sends packets with other addresses as a container with NET_RAW does, out of its own port alone", async () => {
    const strange = "02:de:ad:be:ef:01";
    await using bridge = await overhear("pods");
    await using uplink = await overhear("uplink");
    expect(await inGuest(`/tool send eth0 ${strange} ${subnet}.77 192.0.2.254`)).to.equal("sent\n");
    // Not stopped here: bridge's macspoofchk, or the cluster's network, is where that is decided for all runtimes.
    await eventually("the bridge has it", 20_000, () => (bridge.heard().includes(strange) ? true : undefined));
    await delay(500);
    expect(uplink.heard(), "layer 2 ends at the bridge").to.not.include(strange);
    const own = (await podStatus(daemon, attacker.id)).network?.ip ?? "";
    expect(own)
      .to.match(new RegExp(`^${subnet}\\.`))
      .and.to.not.equal(`${subnet}.77`);
    await neighbourLives();
  });

  it("takes no more of the host's memory than its own, nor of its processes", async () => {
    const [vmm = 0] = await pids(attacker);
    const threads = await countOf(vmm, "task");
    const resources = { memoryLimitInBytes: BigInt(64 * mib) };
    const bombs = [
      ["memory", "tail /dev/zero; echo went off"],
      ["processes", "i=0; while [ $i -lt 100 ]; do sleep 60 & i=$((i+1)); done; echo went off"],
    ] as const;
    for (const [what, line] of bombs) {
      const id = await startContainer(daemon, attacker, { command: ["sh", "-c", line], linux: { resources } });
      await eventually(`the bomb of ${what} has gone off`, 90_000, async () => {
        const { state, logPath } = await containerStatus(daemon, id);
        const said = await logLines(logPath).catch(() => []);
        return state === ContainerState.CONTAINER_EXITED || said.some(({ text }) => /went off/.test(text))
          ? true
          : undefined;
      });
      expect(await rssMib(vmm)).to.be.below(attackerMib + besideGuestMib);
      expect(await countOf(vmm, "task")).to.be.at.most(threads + 8);
      await neighbourLives();
      await removeContainer(daemon, id);
    }
  });

  it("that wrecks its own guest leaves a pod that can be stopped and removed, and nothing on the host", async () => {
    const said = tried("echo c > /proc/sysrq-trigger").catch(() => "gone");
    await said;
    await neighbourLives();
    await removePod(daemon, attacker);
    await removePod(daemon, neighbour);
    await expectSameMachine(daemon.scope, atStart);
    expect(await readFile(canary, "utf8")).to.equal("untouched\n");
  });

  /** What serves the attacker's share. */
  async function server(): Promise<number> {
    return (await pids(attacker)).at(-1) ?? 0;
  }

  /** A file of the volume in the share, by the only way there from the host. */
  async function shared(name: string): Promise<string> {
    const top = `/proc/${await server()}/root`;
    const area = (await isThere(join(top, "share/v"))) ? join(top, "share/v") : join(top, "v");
    for (const entry of await readdir(area)) {
      const path = join(area, entry, name);
      if ((await lstat(path).catch(() => undefined)) !== undefined) return path;
    }
    throw new Error(`${name} is not in the share`);
  }

  /** Senders of all frames on a link of the node, until it is disposed of. */
  async function overhear(link: string): Promise<{ heard: () => string } & AsyncDisposable> {
    const child = spawn("nsenter", [`--net=${node.netns}`, tool, "listen", link, "60"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let heard = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => (heard += chunk));
    const ended = once(child, "close");
    await eventually("it listens", 10_000, () => (heard.includes("listening") ? true : undefined));
    return {
      heard: () => heard,
      [Symbol.asyncDispose]: async () => {
        child.kill("SIGKILL");
        await ended;
      },
    };
  }
});
