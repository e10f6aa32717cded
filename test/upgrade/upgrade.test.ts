/**
 * The daemon of an earlier commit with pods that run, and this one in its place: `A3S_UPGRADE_FROM=448f4be`. Without that
 * it is skipped, for the earlier build takes minutes.
 */
import { cp, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import {
  LinuxContainerResources,
  NamespaceMode,
  NamespaceOption,
  Protocol,
  Signal,
  type ContainerStatus,
  type PodSandboxStatus,
} from "../../src/gen/runtime/v1/api.js";
import { failure, runtime, status } from "../support/cri-client.js";
import { Daemon, nativeHandler } from "../support/daemon.js";
import { earlierBuild, type EarlierBuild } from "../support/earlier-build.js";
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
import { eventually, limit } from "../support/wait.js";

const { CONTAINER, POD } = NamespaceMode;
const hostPort = 12_345;
const mapping = { hostId: 1000, containerId: 0, length: 100_000 };
const users = { mode: POD, uids: [mapping], gids: [mapping] };
const ownUsers = NamespaceOption.fromPartial({ pid: CONTAINER, usernsOptions: users });
/** A line five times a second, each with the next number. */
const ticking = ["sh", "-c", "n=0; while :; do echo tick $n; n=$((n+1)); sleep 0.2; done"];
const portMappings = [{ hostPort, containerPort: 9000, protocol: Protocol.TCP, hostIp: "" }];

interface Kept {
  readonly pod: Pod;
  readonly containers: string[];
}

describe("The daemon in the place of an earlier one", function () {
  this.timeout(limit(120_000));
  let earlier: EarlierBuild;
  let node: NodeNetwork;
  let daemon: Daemon;
  let atStart: MachineState;
  let volume: string;
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
    const from = process.env["A3S_UPGRADE_FROM"];
    if (from === undefined) skipBecause(this, "A3S_UPGRADE_FROM names no commit");
    this.timeout(2_400_000);
    earlier = await earlierBuild(from);
    node = await NodeNetwork.create();
    await node.configure([
      { type: "bridge", bridge: "pods", isGateway: true, ipMasq: true, ipam: node.ipam("10.96.8.0/24") },
      { type: "portmap", capabilities: { portMappings: true }, snat: true },
    ]);
    const config = `host_namespaces = "native"\n${node.daemonConfig}${nativeHandler}`;
    const build = earlier.directory;
    daemon = await Daemon.start({ images: [await busybox()], config, nodeNetns: node.netns, build });
    atStart = await daemon.machine();
    volume = join(daemon.logs, "volume");
    await mkdir(volume);
    await writeFile(join(volume, "kept"), "from the host\n");
    const mounts = [
      { hostPath: volume, containerPath: "/data" },
      { hostPath: volume, containerPath: "/read", readonly: true },
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
        { mounts, labels, stopSignal: Signal.SIGUSR1, envs: [{ key: "A", value: Buffer.from("ü") }] },
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
      native: await make({}, { mounts }, "native"),
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
    await daemon.replaceWith(projectDirectory);
  });

  after("nothing is left", async function () {
    this.timeout(limit(120_000));
    try {
      await (daemon as Daemon | undefined)?.remove();
    } finally {
      await (node as NodeNetwork | undefined)?.remove();
      await (earlier as EarlierBuild | undefined)?.remove();
    }
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
});
