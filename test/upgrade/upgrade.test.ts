/**
 * The daemon of an earlier commit with pods that run, and this one in its place; and back. The earlier one is built first,
 * which takes minutes where the machine's cache does not have it yet.
 */
import { spawnSync } from "node:child_process";
import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import {
  LinuxContainerResources,
  MountPropagation,
  NamespaceMode,
  NamespaceOption,
  Protocol,
  Signal,
  type ContainerStatus,
  type PodSandboxStatus,
} from "../../src/gen/runtime/v1/api.js";
import { loadNative, type Native } from "../../src/native/addon.js";
import { ConfigMap } from "../support/config-map.js";
import { CriClient, failure, runtime, status } from "../support/cri-client.js";
import { Daemon, nativeHandler } from "../support/daemon.js";
import { commitNamed, earlierBuild } from "../support/earlier-build.js";
import { busybox } from "../support/images.js";
import { boxProcesses, expectSameMachine, type MachineState } from "../support/machine.js";
import { NodeNetwork } from "../support/node-network.js";
import {
  containerStatus,
  createContainer,
  exec,
  exited,
  logLines,
  podConfig,
  podStatus,
  runPod,
  saidSomething,
  shell,
  startContainer,
  type ContainerConfigPart,
  type Pod,
  type PodConfigPart,
} from "../support/pods.js";
import { projectDirectory } from "../support/project.js";
import { skipBecause } from "../support/skip.js";
import { Undo } from "../support/undo.js";
import { eventually, limit } from "../support/wait.js";

/** The last before records of version 2; `A3S_UPGRADE_FROM` names another. */
const before2 = "448f4be";
const { CONTAINER, POD } = NamespaceMode;
const hostPort = 12_345;
const mapping = { hostId: 1000, containerId: 0, length: 100_000 };
const users = { mode: POD, uids: [mapping], gids: [mapping] };
const ownUsers = NamespaceOption.fromPartial({ pid: CONTAINER, usernsOptions: users });
/** A line five times a second, each with the next number. */
const ticking = ["sh", "-c", "n=0; while :; do echo tick $n; n=$((n+1)); sleep 0.2; done"];
/** An exec that the change of daemons comes in the midst of. */
const acrossIt = ["sh", "-c", "touch /runs; while :; do usleep 50000; done"];
const portMappings = [{ hostPort, containerPort: 9000, protocol: Protocol.TCP, hostIp: "" }];

interface Kept {
  readonly pod: Pod;
  readonly containers: string[];
}

describe("The daemon in the place of an earlier one", function () {
  this.timeout(limit(120_000));
  const undo = new Undo();
  let earlier: string;
  let addon: Native;
  let node: NodeNetwork;
  let daemon: Daemon;
  let atStart: MachineState;
  let volume: string;
  let followed: string;
  let map: ConfigMap;
  let across: PromiseSettledResult<unknown>[];
  let pods: Record<"plain" | "users" | "ports" | "native" | "stopped", Kept>;
  let told: { pods: PodSandboxStatus[]; containers: ContainerStatus[]; processes: string[] };

  const all = (): Kept[] => Object.values(pods);
  const ticker = (kept: Kept): string => kept.containers[0] ?? "";

  async function make(part: PodConfigPart, container: ContainerConfigPart = {}, handler = ""): Promise<Kept> {
    const pod = await runPod(daemon, part, handler);
    const id = await startContainer(daemon, pod, { command: ticking, ...container });
    await saidSomething(daemon, id);
    return { pod, containers: [id] };
  }

  /** A file system of the host's, in which containers look. */
  async function mountTmpfs(target: string, content = ""): Promise<void> {
    await mkdir(target, { recursive: true });
    await addon.mountTmpfs(target, 1 << 20, 0o755);
    undo.add(() => addon.unmount(target, true));
    await writeFile(join(target, "file"), content);
  }

  /** Programs of native pods come and go by themselves. */
  const isOurs = ({ name }: { name: string }): boolean => name !== "busybox";

  /** What CRI says of everything, and the processes of all Boxes. */
  async function seen(): Promise<typeof told> {
    const ids = all().flatMap(({ containers }) => containers);
    return {
      pods: await Promise.all(all().map(({ pod }) => podStatus(daemon, pod.id))),
      containers: await Promise.all(ids.map((id) => containerStatus(daemon, id))),
      processes: (await boxProcesses(daemon.scope))
        .filter(isOurs)
        .map(({ name, pid }) => `${name} ${pid}`)
        .sort(),
    };
  }

  before(async function () {
    const from = process.env["A3S_UPGRADE_FROM"] ?? before2;
    const commit = await commitNamed(from);
    if (commit === undefined)
      skipBecause(this, `git has no commit ${from}, as in a shallow clone: git fetch --unshallow`);
    this.timeout(2_400_000);
    earlier = await earlierBuild(commit);
    addon = loadNative(join(projectDirectory, "build/assets")).native;
    node = await NodeNetwork.create();
    undo.add(() => node.remove());
    await node.configure([
      { type: "bridge", bridge: "pods", isGateway: true, ipMasq: true, ipam: node.ipam("10.96.8.0/24") },
      { type: "portmap", capabilities: { portMappings: true }, snat: true },
    ]);
    const config = `host_namespaces = "native"\n${node.daemonConfig}${nativeHandler}`;
    daemon = await Daemon.start({ images: [await busybox()], config, nodeNetns: node.netns, build: earlier });
    undo.add(() => daemon.remove());
    volume = join(daemon.logs, "volume");
    await mkdir(volume);
    await writeFile(join(volume, "kept"), "from the host\n");
    map = await ConfigMap.make(join(daemon.logs, "map"), { key: "before\n" });
    followed = join(daemon.logs, "followed");
    await mountTmpfs(followed);
    spawnSync("mount", ["--make-rshared", followed]); // the earlier daemon asks for that
    await mountTmpfs(join(followed, "early"), "early\n");
    await mkdir(join(followed, "later"));
    atStart = await daemon.machine();
    const mounts = [
      { hostPath: volume, containerPath: "/data" },
      { hostPath: volume, containerPath: "/read", readonly: true },
    ];
    const changing = [
      { hostPath: map.directory, containerPath: "/config", readonly: true },
      { hostPath: followed, containerPath: "/followed", propagation: MountPropagation.PROPAGATION_HOST_TO_CONTAINER },
    ];
    const labels = { app: "kept" };
    pods = {
      plain: await make(
        {
          labels,
          annotations: { note: "kept" },
          hostname: "kept",
          linux: { sysctls: { "kernel.shm_rmid_forced": "1" } },
        },
        {
          mounts: [...mounts, ...changing],
          labels,
          stopSignal: Signal.SIGUSR1,
          envs: [{ key: "A", value: Buffer.from("ü") }],
        },
      ),
      users: await make(
        { linux: { securityContext: { namespaceOptions: ownUsers } } },
        {
          mounts: [{ hostPath: volume, containerPath: "/data", uidMappings: [mapping], gidMappings: [mapping] }],
          linux: { securityContext: { namespaceOptions: ownUsers } },
        },
      ),
      ports: await make(
        { portMappings },
        {
          command: [
            "sh",
            "-c",
            `while :; do echo served | nc -l -p 9000; done & exec ${ticking[0]} -c '${ticking[2]}'`,
          ],
        },
      ),
      native: await make({}, { mounts: [...mounts, ...changing] }, "native"),
      stopped: await make({}),
    };
    const { plain, stopped } = pods;
    plain.containers.push(await createContainer(daemon, plain.pod, { command: ["echo", "started later"] }));
    const ended = await startContainer(daemon, plain.pod, { command: ["sh", "-c", "echo last words; exit 7"] });
    await exited(daemon, ended);
    plain.containers.push(ended);
    await daemon.cri.call(runtime.updateContainerResources, {
      containerId: ticker(plain),
      linux: LinuxContainerResources.fromPartial({ memoryLimitInBytes: 64n << 20n, cpuShares: 512n }),
    });
    await daemon.cri.call(runtime.stopPodSandbox, { podSandboxId: stopped.pod.id });
    told = await seen();
    const keep = process.env["A3S_UPGRADE_KEEP"];
    if (keep !== undefined) await cp(join(daemon.root, "records"), keep, { recursive: true });
    const waiting = { cri: new CriClient(daemon.socket), logs: daemon.logs, cgroupParent: daemon.cgroupParent };
    undo.add(async () => {
      waiting.cri.close();
      await commands;
    });
    const commands = Promise.allSettled([plain, pods.native].map((kept) => exec(waiting, ticker(kept), acrossIt, 600)));
    for (const kept of [plain, pods.native]) {
      await eventually("the command runs", 20_000, async () =>
        (await exec(daemon, ticker(kept), ["ls", "/runs"])).exitCode === 0 ? true : undefined,
      );
    }
    await daemon.replaceWith(projectDirectory);
    across = await commands;
  });

  after("nothing is left", async function () {
    this.timeout(limit(120_000));
    await undo.run();
  });

  it("tells of every pod and container what the earlier one has told, and no process has changed", async () => {
    const after = await seen();
    expect(after.processes).to.deep.equal(told.processes);
    expect(after.pods).to.deep.equal(told.pods);
    expect(after.containers).to.deep.equal(told.containers);
    expect(await readdir(join(daemon.root, "quarantine")).catch(() => [])).to.deep.equal([]);
  });

  it("goes on with the logs where they were: no line is lost, none comes twice", async () => {
    for (const kept of [pods.plain, pods.users, pods.ports, pods.native]) {
      const { logPath } = await containerStatus(daemon, ticker(kept));
      const had = (await logLines(logPath)).length;
      const lines = await eventually("lines of after the upgrade are there", 20_000, async () => {
        const found = await logLines(logPath);
        return found.length > had + 5 ? found : undefined;
      });
      const ticks = lines.map(({ text }) => text).filter((text) => text.startsWith("tick "));
      expect(ticks).to.deep.equal(ticks.map((_, index) => `tick ${String(index)}`));
    }
  });

  it("runs commands in them, with their volumes, users and names", async () => {
    const { plain, users: withUsers, native } = pods;
    expect(await shell(daemon, ticker(plain), "cat /data/kept; hostname; echo $A")).to.equal(
      "from the host\nkept\nü\n",
    );
    expect((await exec(daemon, ticker(plain), ["touch", "/read/x"])).stderr).to.match(/Read-only/);
    expect(await shell(daemon, ticker(withUsers), "tr -s ' ' </proc/self/uid_map; cat /data/kept")).to.equal(
      " 0 1000 100000\nfrom the host\n",
    );
    await shell(daemon, ticker(native), "echo native >/data/written");
    expect(await readFile(join(volume, "written"), "utf8")).to.equal("native\n");
  });

  it("goes on with volumes that change: a ConfigMap, and mounts of the host that come later", async () => {
    for (const kept of [pods.plain, pods.native]) {
      expect(await shell(daemon, ticker(kept), "cat /config/key /followed/early/file")).to.equal("before\nearly\n");
    }
    const later = join(followed, "later");
    await map.write({ key: "after\n" });
    await mountTmpfs(later, "later\n");
    for (const kept of [pods.plain, pods.native]) {
      await eventually("the container sees both", 20_000, async () => {
        const seenInside = await exec(daemon, ticker(kept), ["cat", "/config/key", "/followed/later/file"]);
        return seenInside.stdout === "after\nlater\n" ? true : undefined;
      });
    }
    await addon.unmount(later, false);
  });

  it("has ended what waited for an answer of the earlier one, and told who asked", async () => {
    for (const one of across) {
      expect(one.status).to.equal("rejected");
      if (one.status === "rejected") expect(String(one.reason)).to.match(/^Error: \d+ (?:CANCELLED|UNAVAILABLE)/);
    }
    for (const kept of [pods.plain, pods.native]) {
      await eventually("the command is gone", 20_000, async () =>
        (await shell(daemon, ticker(kept), "ps")).includes("touch /runs") ? undefined : true,
      );
    }
  });

  it("keeps host ports served, and gives them to nobody else", async () => {
    const [address = ""] =
      (await node.run("ip", "-4", "-o", "addr", "show", "dev", "pods")).match(/10\.96\.8\.\d+/) ?? [];
    const read = `exec 3<>/dev/tcp/${address}/${hostPort}; timeout 10 head -n 1 <&3`;
    expect(await node.run("bash", "-c", read)).to.equal("served\n");
    await failure(runPod(daemon, { portMappings }), status.ALREADY_EXISTS, /host port 12345\/tcp is taken/);
  });

  it("knows the pods that it is asked for again", async () => {
    const { pod } = pods.plain;
    const again = daemon.cri.call(runtime.runPodSandbox, { config: pod.config, runtimeHandler: "" });
    await failure(again, status.ALREADY_EXISTS, new RegExp(pod.id));
    expect(podConfig(daemon).metadata?.uid).to.not.equal(pod.config.metadata?.uid);
  });

  it("starts what was created, and makes more in a pod that was there", async () => {
    const { plain } = pods;
    const [, created = ""] = plain.containers;
    await daemon.cri.call(runtime.startContainer, { containerId: created });
    const { logPath, exitCode } = await exited(daemon, created);
    expect([exitCode, (await logLines(logPath)).map(({ text }) => text)]).to.deep.equal([0, ["started later"]]);
    for (const kept of [plain, pods.users, pods.native]) {
      const part = kept === pods.users ? { linux: { securityContext: { namespaceOptions: ownUsers } } } : {};
      const id = await startContainer(daemon, kept.pod, { command: ["sh", "-c", "exit 3"], ...part });
      expect((await exited(daemon, id)).exitCode).to.equal(3);
    }
  });

  it("stops and removes all of them, and nothing is left", async function () {
    this.timeout(limit(120_000));
    const stopping = ticker(pods.plain);
    await daemon.cri.call(runtime.stopContainer, { containerId: stopping, timeout: 10n });
    expect((await containerStatus(daemon, stopping)).exitCode).to.equal(128 + 10); // SIGUSR1, as was asked for
    await daemon.removePods();
    await expectSameMachine(daemon.scope, atStart, 10_000);
  });

  it("gives way to the earlier one, which says of each pod that a newer one wrote it, and serves; the newer one clears up", async function () {
    this.timeout(limit(120_000));
    const pod = await runPod(daemon);
    const container = await startContainer(daemon, pod);
    await daemon.replaceWith(earlier);
    const { items } = await daemon.cri.call(runtime.listPodSandbox, {});
    expect(items).to.deep.equal([]);
    const said = (await daemon.logTail(1 << 20)).split("\n").filter((line) => line.includes("record set aside"));
    for (const id of [pod.id, container]) {
      expect(said.filter((line) => line.includes(id)).join()).to.match(
        /version \d is not one that this daemon knows: a newer one wrote it/,
      );
    }
    const made = await startContainer(daemon, await runPod(daemon), { command: ["sh", "-c", "exit 3"] });
    expect((await exited(daemon, made)).exitCode).to.equal(3);
    await daemon.removePods();
    await eventually("the Box without a record is gone", 60_000, async () =>
      (await boxProcesses(daemon.scope)).length === 0 ? true : undefined,
    );
    // It does not look where pods have their files now: the newer one does, when it is back.
    await daemon.replaceWith(projectDirectory);
    await rm(join(daemon.root, "quarantine"), { recursive: true });
    await expectSameMachine(daemon.scope, atStart, 60_000);
  });
});
