/** Doubles of what stands outside the process: the Box with its agent, and the image store's files. */
import { mkdir, mkdtemp, realpath, rm, stat, symlink, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RuntimeError } from "../../../../src/base/errors.js";
import { digest, newBoxId, type PodId } from "../../../../src/base/ids.js";
import { orAborted } from "../../../../src/base/or-aborted.js";
import { SharedWork } from "../../../../src/base/shared-work.js";
import { createLogger } from "../../../../src/base/log.js";
import { configOf } from "../../../../src/config/load.js";
import {
  SessionState,
  Stream,
  type CreateSessionRequest,
  type ExitStatus,
  type HelloResponse,
  type OutputChunk,
  type ProcessRef,
  type Session,
  type StartExecRequest,
} from "../../../../src/gen/agent/v1/agent.js";
import { ContainerConfig, PodSandboxConfig, type CreateContainerRequest } from "../../../../src/gen/runtime/v1/api.js";
import type { Image, ImageConfig, SnapshotWanted, WritableSnapshot } from "../../../../src/image/image-store.js";
import type { HostFile, MountWatch } from "../../../../src/native/addon.js";
import { Metrics } from "../../../../src/metrics/metrics.js";
import { EgressKeeper } from "../../../../src/net/egress/keeper.js";
import { Networks } from "../../../../src/net/networks.js";
import { noVolume } from "../../../../src/vmm/share/layout.js";
import { ContainerStore } from "../../../../src/runtime/container/container-store.js";
import { PodContainers } from "../../../../src/runtime/container/pod-containers.js";
import type { CallContext, Deps } from "../../../../src/cri/deps.js";
import type { StreamRequest } from "../../../../src/streaming/requests.js";
import { podSpecOf } from "../../../../src/cri/map/pod-spec.js";
import type { Pod } from "../../../../src/runtime/pod/pod.js";
import { ContainerEvents } from "../../../../src/runtime/events/container-events.js";
import { PodStore } from "../../../../src/runtime/pod/pod-store.js";
import { ServedPorts } from "../../../../src/runtime/served-ports/served-ports.js";
import { PodSkills } from "../../../../src/runtime/skills/pod-skills.js";
import type { OutputReader } from "../../../../src/vmm/agent/agent-client.js";
import type { Box, BoxExit, SharedPath } from "../../../../src/vmm/box.js";
import { image as plainConfig } from "../spec/support.js";

/** As the addon's. */
async function lookUp(path: string): Promise<HostFile> {
  const resolved = await realpath(path);
  const facts = await stat(resolved, { bigint: true });
  const isDevice = facts.isCharacterDevice() || facts.isBlockDevice();
  const kind = isDevice ? "device" : facts.isDirectory() ? "directory" : "file";
  return { path: resolved, kind, device: facts.dev, inode: facts.ino };
}

interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly settle: (value: T) => void;
  readonly fail: (error: Error) => void;
}

function deferred<T>(): Deferred<T> {
  let settle: (value: T) => void = () => undefined;
  let fail: (error: Error) => void = () => undefined;
  const promise = new Promise<T>((resolve, reject) => {
    settle = resolve;
    fail = reject;
  });
  promise.catch(() => undefined);
  return { promise, settle, fail };
}

/** A process in the guest, driven by the test. */
export class FakeProcess {
  readonly exit = deferred<ExitStatus>();
  readonly signals: string[] = [];
  readonly acknowledged: bigint[] = [];
  onSignal: (signal: number) => void = (signal) => {
    this.end(128 + signal, signal);
  };
  #chunks: OutputChunk[] = [];
  #wake = deferred<undefined>();
  #broken: Error | undefined;
  #sequence = 0n;

  print(text: string, stream: Stream = Stream.STDOUT): void {
    this.#push({ data: Buffer.from(text), stream, end: false });
  }

  closeOutput(): void {
    this.#push({ data: Buffer.alloc(0), stream: Stream.UNSPECIFIED, end: true });
  }

  end(code: number, signal = 0, oomKilled = false): void {
    this.exit.settle({ code, signal, exitedAtNs: 0n, oomKilled });
    this.closeOutput();
  }

  die(error: Error): void {
    this.#broken = error;
    this.exit.fail(error);
    this.#wake.settle(undefined);
  }

  reader(): OutputReader {
    const closed = deferred<undefined>();
    let isClosed = false;
    let at = 0;
    const next = async (): Promise<OutputChunk | undefined> => {
      for (;;) {
        const chunk = this.#chunks[at];
        at += 1;
        if (chunk !== undefined) return chunk;
        at -= 1;
        if (isClosed) return undefined;
        if (this.#broken !== undefined) throw this.#broken;
        await Promise.race([this.#wake.promise, closed.promise]);
      }
    };
    return {
      acknowledge: (sequence) => {
        this.acknowledged.push(sequence);
        this.#chunks = this.#chunks.filter((chunk) => chunk.sequence > sequence);
        at = 0;
      },
      close: () => {
        isClosed = true;
        closed.settle(undefined);
      },
      async *[Symbol.asyncIterator]() {
        for (let chunk = await next(); chunk !== undefined; chunk = await next()) yield chunk;
      },
    };
  }

  #push(part: Pick<OutputChunk, "data" | "stream" | "end">): void {
    this.#sequence += 1n;
    this.#chunks.push({
      ...part,
      sequence: this.#sequence,
      timeNs: 1_700_000_000_000_000_000n + this.#sequence * 65536n,
    });
    const wake = this.#wake;
    this.#wake = deferred<undefined>();
    wake.settle(undefined);
  }
}

class FakeAgent {
  readonly created = new Map<string, CreateSessionRequest>();
  readonly started = new Set<string>();
  readonly processes = new Map<string, FakeProcess>();
  readonly execs: StartExecRequest[] = [];
  readonly forgotten: string[] = [];
  beforeCreate: () => Promise<void> = () => Promise.resolve();
  beforeStart: () => Promise<void> = () => Promise.resolve();
  beforeSync: (path: string) => Promise<void> = () => Promise.resolve();
  rest: Promise<void> = Promise.resolve();
  /** Its guest mounts layers of images. */
  layeredRoots = false;
  apparmor = false;
  beforeGuest: () => Promise<void> = () => Promise.resolve();
  onExec: (process: FakeProcess) => void = (process) => {
    process.end(0);
  };

  process(ref: ProcessRef): FakeProcess {
    const found = this.processes.get(`${ref.sessionId}/${ref.execId}`);
    if (found === undefined) throw new RuntimeError("notFound", "unknown process");
    return found;
  }

  init(sessionId: string): FakeProcess {
    return this.process({ sessionId, execId: "" });
  }

  async guest(): Promise<Pick<HelloResponse, "layeredRoots" | "kernelRelease" | "apparmor">> {
    await this.beforeGuest();
    return { layeredRoots: this.layeredRoots, kernelRelease: "6.12.0", apparmor: this.apparmor };
  }

  async createSession(request: CreateSessionRequest): Promise<{ pid: number }> {
    await this.beforeCreate();
    this.created.set(request.sessionId, request);
    this.processes.set(`${request.sessionId}/`, new FakeProcess());
    return { pid: 42 };
  }

  async startSession(sessionId: string): Promise<{ startedAtNs: bigint }> {
    await this.beforeStart();
    this.init(sessionId);
    this.started.add(sessionId);
    return { startedAtNs: 0n };
  }

  startExec(request: StartExecRequest): Promise<{ pid: number; startedAtNs: bigint }> {
    this.execs.push(request);
    const process = new FakeProcess();
    this.processes.set(`${request.sessionId}/${request.execId}`, process);
    this.onExec(process);
    return Promise.resolve({ pid: 43, startedAtNs: 0n });
  }

  signalProcess(ref: ProcessRef, signal: number, all: boolean): Promise<void> {
    const process = this.process(ref);
    process.signals.push(`${String(signal)}${all ? " all" : ""}`);
    process.onSignal(signal);
    return Promise.resolve();
  }

  async wait(ref: ProcessRef, signal: AbortSignal): Promise<ExitStatus> {
    const aborted = deferred<never>();
    signal.addEventListener("abort", () => {
      aborted.fail(new RuntimeError("canceled", "aborted"));
    });
    return await Promise.race([this.process(ref).exit.promise, aborted.promise]);
  }

  output(ref: ProcessRef): OutputReader {
    return this.process(ref).reader();
  }

  deleteSession(sessionId: string): Promise<void> {
    this.created.delete(sessionId);
    this.processes.delete(`${sessionId}/`);
    return Promise.resolve();
  }

  forgetExec(sessionId: string, execId: string): Promise<void> {
    this.processes.get(`${sessionId}/${execId}`)?.end(137, 9);
    this.forgotten.push(execId);
    return Promise.resolve();
  }

  async syncMirror(path: string): Promise<void> {
    await this.beforeSync(path);
    await knownPlace(path);
  }

  /** Of a paused Box when it goes on. */
  async awake(signal: AbortSignal): Promise<void> {
    await orAborted(this.rest, signal);
  }

  async syncSubmounts(path: string): Promise<{ inUse: string[]; failure: string }> {
    await knownPlace(path);
    return { inUse: [], failure: "" };
  }

  listSessions(): Promise<Session[]> {
    const sessions = [...this.created.keys()].map((sessionId) => ({
      sessionId,
      state: this.started.has(sessionId) ? SessionState.RUNNING : SessionState.CREATED,
      pid: 42,
      createdAtNs: 0n,
      startedAtNs: 0n,
      exit: undefined,
      execIds: [],
    }));
    return Promise.resolve(sessions);
  }
}

/** As the agent answers about a place that is not there. */
async function knownPlace(path: string): Promise<void> {
  await Promise.resolve();
  if (path === noVolume) throw new RuntimeError("notFound", "no such place");
}

class FakeBox {
  readonly id: PodId;
  readonly handle = { driver: "qemu" };
  readonly agent = new FakeAgent();
  readonly shared = new Map<string, string>();
  /** Where binds are links to what they show; undefined: there is nothing at their paths. */
  readonly #places: string | undefined;
  readonly #exited = deferred<BoxExit>();
  readonly exited = this.#exited.promise;
  exit: BoxExit | undefined;
  beforeShare: () => Promise<void> = () => Promise.resolve();

  constructor(id: PodId, places?: string) {
    this.id = id;
    this.#places = places;
  }

  confineTo(): Promise<void> {
    return Promise.resolve();
  }

  shareOverlay(name: string): Promise<SharedPath> {
    return this.#share("c", name, "overlay");
  }

  shareImage(name: string, lowers: readonly string[]): Promise<SharedPath> {
    return this.#share("v", name, `image of ${lowers.join(" over ")}`);
  }

  async shareBind(name: string, source: string, readonly: boolean): Promise<SharedPath> {
    const path = await this.#share("v", name, `${source} ${readonly ? "ro" : "rw"}`);
    if (this.#places !== undefined) await symlink(source, path.hostPath);
    return path;
  }

  shareMount(name: string, descriptorPath: string): Promise<SharedPath> {
    return this.#share("v", name, `the mount ${descriptorPath}`);
  }

  async removeShared(hostPath: string): Promise<void> {
    this.shared.delete(hostPath);
    if (this.#places !== undefined) await unlink(hostPath).catch(() => undefined);
  }

  listShared(): Promise<string[]> {
    return Promise.resolve([...this.shared.keys()]);
  }

  mountedShared(): Promise<[]> {
    return Promise.resolve([]);
  }

  async lookAtShared<T>(hostPath: string, look: (path: string) => Promise<T>): Promise<T> {
    return await look(hostPath);
  }

  stop(): Promise<void> {
    this.die("stopped");
    return Promise.resolve();
  }

  die(reason: string): void {
    if (this.exit !== undefined) return;
    this.exit = { atNs: 9n, reason };
    for (const process of this.agent.processes.values()) process.die(new RuntimeError("unavailable", reason));
    this.#exited.settle(this.exit);
  }

  async #share(area: string, name: string, what: string): Promise<SharedPath> {
    await this.beforeShare();
    const entry = `${name}-${String(this.shared.size)}`;
    const path = { guestPath: `/${area}/${entry}`, hostPath: join(this.#places ?? `/share/${area}`, entry) };
    this.shared.set(path.hostPath, what);
    return path;
  }
}

const busybox: Image = {
  id: digest(`sha256:${"b".repeat(64)}`),
  repoTags: ["docker.io/library/busybox:latest"],
  repoDigests: [`docker.io/library/busybox@sha256:${"d".repeat(64)}`],
  sizeBytes: 1n,
  user: plainConfig.user,
  platform: plainConfig.platform,
  chainIds: [],
  pinned: false,
};

class FakeImages {
  readonly snapshots = new Set<string>();

  find(reference: string): Promise<Image | undefined> {
    return Promise.resolve(reference === "busybox" || reference === busybox.id ? busybox : undefined);
  }

  config(): Promise<ImageConfig> {
    return Promise.resolve({ ...plainConfig, cmd: ["sh"] });
  }

  prepareSnapshot(
    key: string,
    _image: Image,
    _signal: AbortSignal,
    { volumes = [], layerFiles = false }: SnapshotWanted,
  ): Promise<WritableSnapshot> {
    this.snapshots.add(key);
    const volumeLowers = volumes.map(() => ["/l", "/e"]);
    const places = { upper: "/u", work: "/w", written: "/", volumeLowers, declared: [], measured: "/u" };
    const files = layerFiles ? [import.meta.filename] : undefined;
    return Promise.resolve({ lowers: ["/l"], ...places, layerFiles: files, boundBy: "none" });
  }

  removeSnapshot(key: string): Promise<void> {
    this.snapshots.delete(key);
    return Promise.resolve();
  }

  listSnapshots(): Promise<string[]> {
    return Promise.resolve([...this.snapshots]);
  }

  readFile(): Promise<null> {
    return Promise.resolve(null);
  }
}

/** Keeps what is offered. */
export class FakeStreaming {
  readonly offered: StreamRequest[] = [];

  offer(request: StreamRequest): string {
    this.offered.push(request);
    return "http://127.0.0.1:1/x";
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** Mounts of the host never change here. */
class FakeMountWatches {
  readonly live = new Set<() => void>();

  open(): MountWatch {
    const end = deferred<boolean>();
    const close = (): void => {
      this.live.delete(close);
      end.settle(false);
    };
    this.live.add(close);
    return { next: () => end.promise, close };
  }
}

export interface World {
  readonly directory: string;
  /** Of the host's mounts, that are not closed. */
  readonly watches: FakeMountWatches;
  readonly box: FakeBox;
  readonly images: FakeImages;
  readonly streaming: FakeStreaming;
  readonly log: string[];
  deps: Deps;
  sandbox: Pod;
  /** One more READY sandbox, with a Box of its own whose binds are links to what they show. */
  addPod(): Promise<{ readonly sandbox: Pod; readonly box: FakeBox }>;
  /** The same machine, a fresh daemon that has taken up what it found. */
  restart(): Promise<void>;
  remove(): Promise<void>;
}

/** A machine with one READY sandbox. */
export async function makeWorld(base = tmpdir()): Promise<World> {
  const directory = await mkdtemp(join(base, "container-"));
  const id = newBoxId();
  const [box, images, streaming] = [new FakeBox(id), new FakeImages(), new FakeStreaming()];
  const watches = new FakeMountWatches();
  const lines: string[] = [];
  const log = createLogger("debug", { write: (line) => lines.push(line) });
  const given = (value: unknown) => ({ value, from: "the test" });
  const config = configOf(
    new Map([
      ["root", given(join(directory, "root"))],
      ["state", given(join(directory, "s"))],
      ["assets.dir", given(join(directory, "assets"))],
      ["network", given("loopback")],
    ]),
  );
  const open = async (): Promise<Deps> => {
    const sandboxes = await PodStore.open(config, log);
    const parts = {
      config,
      log,
      sandboxes,
      events: new ContainerEvents(),
      native: {
        lookUp,
        watchMounts: () => watches.open(),
        unmount: () => Promise.resolve(),
      } as unknown as Deps["native"],
      boxes: { discard: () => Promise.resolve() } as unknown as Deps["boxes"],
      images: images as unknown as Deps["images"],
      networks: new Networks(config.cni, log),
      egress: new EgressKeeper({} as unknown as Deps["native"], log),
    };
    const containers = await ContainerStore.open(parts);
    const sandboxCreations = new SharedWork<string, PodId>({ outlivesCallers: true });
    const metrics = new Metrics();
    const podContainers = new PodContainers(containers);
    const closing = new AbortController().signal;
    const services = { servedPorts: new ServedPorts(log, closing), skills: new PodSkills() };
    return { ...parts, metrics, containers, podContainers, streaming, sandboxCreations, ...services, closing };
  };
  const deps = await open();
  const sandbox = await addSandbox(deps, id, box);
  const world: World = {
    directory,
    watches,
    box,
    images,
    streaming,
    log: lines,
    deps,
    sandbox,
    async addPod() {
      const podId = newBoxId();
      const places = join(directory, "places", podId);
      await mkdir(places, { recursive: true });
      const podBox = new FakeBox(podId, places);
      return { sandbox: await addSandbox(world.deps, podId, podBox), box: podBox };
    },
    async restart() {
      await world.deps.containers.close();
      world.deps = await open();
      world.sandbox = world.deps.sandboxes.require(id);
      if (box.exit === undefined) world.sandbox.setBox(box as unknown as Box);
      if (world.sandbox.box === undefined) await world.deps.podContainers.recoverEndOf(world.sandbox);
      else {
        const sessions = await box.agent.listSessions();
        await world.deps.podContainers.takeUpOf(world.sandbox, sessions, new AbortController().signal);
      }
      await world.deps.podContainers.discardStrays(new AbortController().signal);
    },
    async remove() {
      await world.deps.containers.close();
      await rm(directory, { recursive: true });
    },
  };
  return world;
}

async function addSandbox(deps: Deps, id: PodId, box: FakeBox): Promise<Pod> {
  const podConfig = {
    ...PodSandboxConfig.fromPartial({}),
    metadata: { name: "web", namespace: "shop", uid: "u", attempt: 0 },
    logDirectory: join(deps.config.root, "../logs"),
  };
  const sandbox = await deps.sandboxes.add({
    version: 3,
    id,
    label: "web",
    spec: podSpecOf({ config: podConfig, runtimeHandler: "" }),
    boundary: "machine",
    createdAtNs: 1n,
    netnsPath: "",
    readyAtNs: 2n,
  });
  sandbox.setBox(box as unknown as Box);
  await mkdir(sandbox.directory, { recursive: true });
  for (const name of ["hosts", "hostname", "resolv.conf"]) await writeFile(join(sandbox.directory, name), "");
  return sandbox;
}

/** Puts a program in the place of the agent's seccomp compiler. */
export async function fakeCompiler(world: World, script: string): Promise<void> {
  const bin = join(world.directory, "assets", "guest", "bin");
  await mkdir(bin, { recursive: true });
  await writeFile(join(bin, "agent"), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

export function call(signal: AbortSignal = new AbortController().signal): CallContext {
  return { signal, rpc: "Test", log: createLogger("error", { write: () => undefined }) };
}

/** A request as kubelet makes one, with changes. */
export function containerRequest(world: World, members: Partial<ContainerConfig> = {}): CreateContainerRequest {
  const config = {
    ...ContainerConfig.fromPartial({}),
    metadata: { name: "app", attempt: 0 },
    image: { image: "busybox", annotations: {}, userSpecifiedImage: "", runtimeHandler: "", imageRef: "" },
    logPath: "app/0.log",
    ...members,
  };
  return { podSandboxId: world.sandbox.id, config, sandboxConfig: undefined };
}

/** The error's code and message; fails when there is none. */
export async function failureOf(promise: Promise<unknown>): Promise<{ code: string; message: string }> {
  try {
    await promise;
  } catch (thrown) {
    if (thrown instanceof RuntimeError) return { code: thrown.code, message: thrown.message };
    throw thrown;
  }
  throw new Error("it did not fail");
}
