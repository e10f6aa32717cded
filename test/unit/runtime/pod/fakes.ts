/** Doubles of what stands outside the process: the VMM with its agent, and the kernel behind the addon. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RuntimeError } from "../../../../src/base/errors.js";
import type { PodId } from "../../../../src/base/ids.js";
import { SharedWork } from "../../../../src/base/shared-work.js";
import { createLogger } from "../../../../src/base/log.js";
import { configOf, parseFile } from "../../../../src/config/load.js";
import type { ConfigureSandboxRequest, Session } from "../../../../src/gen/agent/v1/agent.js";
import {
  LinuxContainerResources,
  LinuxPodSandboxConfig,
  PodSandboxConfig,
  type RunPodSandboxRequest,
} from "../../../../src/gen/runtime/v1/api.js";
import type { CallContext, Deps } from "../../../../src/cri/deps.js";
import { ContainerEvents } from "../../../../src/runtime/events/container-events.js";
import type { LinkState, PeerCredentials } from "../../../../src/native/addon.js";
import { Metrics } from "../../../../src/metrics/metrics.js";
import { EgressKeeper } from "../../../../src/net/egress/keeper.js";
import { Networks } from "../../../../src/net/networks.js";
import { PodStore } from "../../../../src/runtime/pod/pod-store.js";
import { ServedPorts } from "../../../../src/runtime/served-ports/served-ports.js";
import { PodSkills } from "../../../../src/runtime/skills/pod-skills.js";
import type { BoxExit, BoxFactory, BoxHandle, BoxSpec, IdMapping } from "../../../../src/vmm/box.js";
import type { BoxPool, TakenBox } from "../../../../src/vmm/pool/box-pool.js";
import type { PoolWish } from "../../../../src/vmm/pool/pool-class.js";

class FakeBox {
  readonly configured: ConfigureSandboxRequest[] = [];
  readonly deviceMac = "02:00:00:00:00:01";
  readonly exited: Promise<BoxExit>;
  exit: BoxExit | undefined;
  #die: (exit: BoxExit) => void = () => undefined;

  readonly id: PodId;
  readonly handle: BoxHandle;
  readonly factory: FakeBoxes;

  constructor(id: PodId, handle: BoxHandle, factory: FakeBoxes) {
    this.id = id;
    this.handle = handle;
    this.factory = factory;
    this.exited = new Promise((resolve) => {
      this.#die = resolve;
    });
  }

  readonly agent = {
    configureSandbox: async (request: ConfigureSandboxRequest) => {
      await this.factory.beforeConfigure();
      this.configured.push(request);
    },
    reach: async (signal: AbortSignal): Promise<Session[]> => {
      await this.factory.beforeAnswer(this.id, signal);
      return [];
    },
    hangUp: () => {
      this.factory.hungUp.push(this.id);
    },
  };

  die(reason: string): void {
    this.exit = { atNs: 5n, reason };
    this.#die(this.exit);
  }

  stop(): Promise<void> {
    this.die("stopped");
    return Promise.resolve();
  }

  async pause(): Promise<void> {
    await this.factory.beforePause(this);
  }

  confineTo(): Promise<void> {
    return Promise.resolve();
  }

  diskUsage(): Promise<{ readBytes: bigint; writtenBytes: bigint }> {
    return Promise.resolve({ readBytes: 0n, writtenBytes: 0n });
  }

  cpuTime(): Promise<bigint> {
    return Promise.resolve(0n);
  }

  memoryUsage(): Promise<bigint> {
    return Promise.resolve(1n);
  }
}

/** What a pod takes, and what becomes of it. */
class FakePool implements BoxPool {
  /** The next that fits anything. */
  ready: TakenBox | undefined;
  readonly known: PodId[] = [];
  readonly wishes: PoolWish[] = [];
  readonly told: string[] = [];
  readonly facts = { classes: [], oldestNs: undefined, failure: undefined };
  beforeLeave: (id: PodId) => Promise<void> = () => Promise.resolve();

  take(wish: PoolWish): TakenBox | undefined {
    this.wishes.push(wish);
    const taken = this.ready;
    this.ready = undefined;
    return taken;
  }

  async leave(id: PodId, cgroupParent: string): Promise<void> {
    await this.beforeLeave(id);
    this.told.push(`leave for "${cgroupParent}"`);
  }

  discard(): Promise<void> {
    this.told.push("discard");
    return Promise.resolve();
  }

  ids(): readonly PodId[] {
    return this.known;
  }

  adopt(isPods: (id: PodId) => boolean): Promise<void> {
    this.told.push(...this.known.map((id) => `adopt: ${isPods(id) ? "a pod's" : "nobody's"}`));
    return Promise.resolve();
  }

  idle(): Promise<void> {
    return Promise.resolve();
  }

  memory(): Promise<bigint> {
    return Promise.resolve(0n);
  }
}

/** Boxes that boot as fast as the test lets them; `live` is what a `ps` on the host would show. */
class FakeBoxes {
  readonly driver = "qemu" as const;
  readonly reason = "a fake";
  readonly specs: BoxSpec[] = [];
  readonly live = new Map<PodId, FakeBox>();
  beforeBoot: (signal: AbortSignal) => Promise<void> = () => Promise.resolve();
  beforeConfigure: () => Promise<void> = () => Promise.resolve();
  /** To a daemon that has come back. */
  beforeAnswer: (id: PodId, signal: AbortSignal) => Promise<void> = () => Promise.resolve();
  readonly hungUp: PodId[] = [];
  beforePause: (box: FakeBox) => Promise<void> = () => Promise.resolve();

  async boot(spec: BoxSpec, signal: AbortSignal): Promise<FakeBox> {
    this.specs.push(spec);
    await this.beforeBoot(signal);
    const processes = [{ role: "vmm" as const, pid: 4711, startTime: 1n }];
    const handle = { driver: this.driver, processes, directory: `/boxes/${spec.id}`, cgroups: [] };
    const box = new FakeBox(spec.id, handle, this);
    this.live.set(spec.id, box);
    return box;
  }

  readonly pool = new FakePool();

  idMapping(): IdMapping {
    return { by: "server" };
  }

  mountsRecursiveReadOnly(): boolean {
    return true;
  }

  /** A watch of one's own on the same VMM: the dead daemon's is dead. */
  adopt(id: PodId): Promise<FakeBox | null> {
    const running = this.live.get(id);
    if (running === undefined) return Promise.resolve(null);
    const adopted = new FakeBox(id, running.handle, this);
    this.live.set(id, adopted);
    return Promise.resolve(adopted);
  }

  discard(id: PodId): Promise<void> {
    this.live.delete(id);
    return Promise.resolve();
  }

  listDirectories(): Promise<PodId[]> {
    return Promise.resolve([...this.live.keys()]);
  }

  idle(): Promise<void> {
    return Promise.resolve();
  }
}

class FakeKernel {
  readonly netns = new Set<string>();
  /** Of whoever connects. */
  peer: PeerCredentials = { pid: process.pid, uid: process.geteuid?.() ?? 0, gid: 0 };

  peerCredentials(): PeerCredentials {
    return this.peer;
  }

  createNetns(path: string): Promise<void> {
    this.netns.add(path);
    return Promise.resolve();
  }

  mountTmpfs(): Promise<void> {
    return Promise.resolve();
  }

  unmount(): Promise<void> {
    return Promise.resolve();
  }

  createTap(): Promise<void> {
    return Promise.resolve();
  }

  redirectLinks(): Promise<void> {
    return Promise.resolve();
  }

  readLink(): Promise<LinkState> {
    const route = { source: null, metric: 0, mtu: 0, onLink: false };
    return Promise.resolve({
      index: 3,
      mac: "aa:bb:cc:00:00:01",
      mtu: 1400,
      promiscuous: true,
      allMulticast: false,
      transmitQueue: 77,
      addresses: ["10.1.0.5/24"],
      routes: [
        { ...route, destination: "0.0.0.0/0", gateway: "10.1.0.1" },
        { ...route, destination: "10.1.0.0/24", gateway: null },
      ],
      neighbours: [],
    });
  }

  removeNetns(path: string): Promise<void> {
    this.netns.delete(path);
    return Promise.resolve();
  }
}

/** What the containers part was told. */
class FakeContainers {
  readonly told: string[] = [];
  beforeStop: () => Promise<void> = () => Promise.resolve();

  async stopAllOf(): Promise<void> {
    await this.beforeStop();
    this.told.push("stop");
  }

  removeAllOf(): Promise<void> {
    this.told.push("remove");
    return Promise.resolve();
  }

  boxExited(_sandbox: unknown, exit: BoxExit): Promise<void> {
    this.told.push(`box exited: ${exit.reason}`);
    return Promise.resolve();
  }

  recoverEndOf(): Promise<void> {
    this.told.push("recover");
    return Promise.resolve();
  }

  takeUpOf(): Promise<void> {
    this.told.push("take up");
    return Promise.resolve();
  }

  discardStrays(): Promise<void> {
    return Promise.resolve();
  }

  listOf(): [] {
    return [];
  }
}

export interface World {
  readonly directory: string;
  readonly boxes: FakeBoxes;
  readonly kernel: FakeKernel;
  readonly containers: FakeContainers;
  readonly closing: AbortController;
  readonly log: string[];
  deps: Deps;
  /** The same machine, a fresh daemon, with another file where one is given. */
  restart(config?: string): Promise<void>;
  remove(): Promise<void>;
}

/** `config` is a daemon's file, on top of what the directory and the network make of it. */
export async function makeWorld({ network = "loopback", config: text = "" } = {}): Promise<World> {
  const directory = await mkdtemp(join(tmpdir(), "sandbox-"));
  const [boxes, kernel, containers, closing] = [
    new FakeBoxes(),
    new FakeKernel(),
    new FakeContainers(),
    new AbortController(),
  ];
  const lines: string[] = [];
  const log = createLogger("debug", { write: (line) => lines.push(line) });
  const open = async (file = text): Promise<Deps> => {
    const given = (value: unknown) => ({ value, from: "the test" });
    const config = configOf(
      new Map([
        ...parseFile(file, "config.toml"),
        ["root", given(join(directory, "root"))],
        ["state", given(join(directory, "s"))],
        ["sandbox.run_timeout_ms", given(5000)],
        ["network", given(network)],
        ["cni.conf_dir", given(join(directory, "net.d"))],
        ["cni.bin_dirs", given([join(directory, "bin")])],
      ]),
    );
    const sandboxes = await PodStore.open(config, log);
    return {
      config,
      log,
      sandboxes,
      events: new ContainerEvents(100),
      closing: closing.signal,
      networks: new Networks(config.cni, log),
      egress: new EgressKeeper(kernel as unknown as Deps["native"], log),
      metrics: new Metrics(),
      streaming: {} as unknown as Deps["streaming"],
      sandboxCreations: new SharedWork<string, PodId>({ outlivesCallers: true }),
      servedPorts: new ServedPorts(log, closing.signal),
      skills: new PodSkills(),
      native: kernel as unknown as Deps["native"],
      boxes: boxes as unknown as BoxFactory,
      containers: containers as unknown as Deps["containers"],
      podContainers: containers,
      images: {} as unknown as Deps["images"],
    };
  };
  const world: World = {
    directory,
    boxes,
    kernel,
    containers,
    closing,
    log: lines,
    deps: await open(),
    async restart(file) {
      world.deps = await open(file);
    },
    async remove() {
      await rm(directory, { recursive: true });
    },
  };
  return world;
}

export function call(signal: AbortSignal = new AbortController().signal): CallContext {
  return { signal, rpc: "Test", log: createLogger("error", { write: () => undefined }) };
}

/** A request as kubelet makes one, with changes. */
export function podRequest(config: Partial<PodSandboxConfig> = {}): RunPodSandboxRequest {
  const metadata = { name: "web", namespace: "shop", uid: "u-1", attempt: 0 };
  return { config: { ...PodSandboxConfig.fromPartial({}), metadata, ...config }, runtimeHandler: "" };
}

export function linuxConfig(config: Partial<LinuxPodSandboxConfig>): LinuxPodSandboxConfig {
  return { ...LinuxPodSandboxConfig.fromPartial({}), ...config };
}

export function resources(changes: Partial<LinuxContainerResources>): LinuxContainerResources {
  return { ...LinuxContainerResources.fromPartial({}), ...changes };
}

/** What a call fails with. */
export async function failureOf(work: Promise<unknown>): Promise<RuntimeError> {
  try {
    await work;
  } catch (thrown) {
    if (thrown instanceof RuntimeError) return thrown;
    throw thrown;
  }
  throw new Error("it did not fail");
}
