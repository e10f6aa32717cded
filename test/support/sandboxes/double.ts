/**
 * The core of the agents' edge, in memory: for the tables of protocols alone, where no Box is needed to see what is on the
 * wire. Its sandboxes are directories of the host, its programs processes of the host.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RuntimeError } from "../../../src/base/errors.js";
import type { PullWatch } from "../../../src/image/image-store.js";
import type { SkillFact } from "../../../src/runtime/skills/pod-skills.js";
import type { EgressFacts } from "../../../src/net/egress/keeper.js";
import type { EgressWanted } from "../../../src/net/egress/policy.js";
import type { Caller } from "../../../src/sandboxes/core/caller.js";
import type { Files } from "../../../src/sandboxes/core/file.js";
import type { SandboxLogLine } from "../../../src/sandboxes/core/logs.js";
import type { Processes } from "../../../src/sandboxes/core/process.js";
import type {
  Page,
  PageWanted,
  SandboxFilter,
  SandboxName,
  SandboxUsage,
  SandboxView,
  SandboxWanted,
} from "../../../src/sandboxes/core/sandbox.js";
import type { Sandboxes } from "../../../src/sandboxes/core/sandboxes.js";
import type { PortConnection } from "../../../src/vmm/agent/agent-client.js";
import { DoubleFiles } from "./double-files.js";
import { DoubleProcesses } from "./double-processes.js";

interface Held {
  view: SandboxView;
  readonly processes: DoubleProcesses;
  readonly files: DoubleFiles;
}

export class DoubleSandboxes implements Sandboxes {
  readonly #directory: string;
  readonly #all = new Map<string, Held>();
  /** What the next creation fails with. */
  refusal: RuntimeError | undefined;
  /** Of the image of the next creation. */
  pull: ((watch: PullWatch) => void) | undefined;
  /** What each says in its log. */
  lines: readonly SandboxLogLine[] = [];

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static async open(): Promise<DoubleSandboxes> {
    return new DoubleSandboxes(await mkdtemp(join(tmpdir(), "a3s-double-")));
  }

  async close(): Promise<void> {
    for (const { processes } of this.#all.values()) processes.close();
    await rm(this.#directory, { recursive: true });
  }

  async create(caller: Caller, wanted: SandboxWanted, _?: AbortSignal, watch?: PullWatch): Promise<SandboxView> {
    if (watch !== undefined) this.pull?.(watch);
    if (this.refusal !== undefined) throw this.refusal;
    if (wanted.template.startsWith("no-")) throw new RuntimeError("notFound", `no template ${wanted.template}`);
    const id = newName();
    const home = await mkdtemp(join(this.#directory, `${id}-`));
    const view = viewOf(caller, wanted, id, home);
    const processes = new DoubleProcesses(home, wanted.env);
    this.#all.set(id, { view, processes, files: new DoubleFiles(home) });
    return view;
  }

  get(caller: Caller, id: string): SandboxView {
    return this.#of(caller, id).view;
  }

  held(id: string): SandboxView {
    return this.#held(id).view;
  }

  list(caller: Caller, filter: SandboxFilter, { limit, after }: PageWanted): Page<SandboxView> {
    const views = [...this.#all.values()].map(({ view }) => view).reverse();
    const fitting = views.filter((view) => view.tenant === caller.tenant && fits(view, filter));
    const from = after === undefined || after === "" ? 0 : fitting.findIndex(({ id }) => id === after) + 1;
    const items = fitting.slice(from, from + limit);
    const last = items.at(-1);
    return from + limit < fitting.length && last !== undefined ? { items, next: last.id } : { items };
  }

  extend(caller: Caller, id: string, lifeMs: number, only: "later" | "any"): Promise<SandboxView> {
    const held = this.#of(caller, id);
    const endsAtMs = Date.now() + lifeMs;
    if (only === "any" || endsAtMs > held.view.endsAtMs) held.view = { ...held.view, endsAtMs };
    return Promise.resolve(held.view);
  }

  end(caller: Caller, id: string): Promise<void> {
    this.#of(caller, id).processes.close();
    this.#all.delete(id);
    return Promise.resolve();
  }

  pause(caller: Caller, id: string): Promise<void> {
    const held = this.#of(caller, id);
    held.view = { ...held.view, state: "paused" };
    return Promise.resolve();
  }

  resume(caller: Caller, id: string): Promise<SandboxView> {
    const held = this.#of(caller, id);
    held.view = { ...held.view, state: "running" };
    return Promise.resolve(held.view);
  }

  logs(caller: Caller, id: string): Promise<readonly SandboxLogLine[]> {
    this.#of(caller, id);
    return Promise.resolve(this.lines);
  }

  setEgress(caller: Caller, id: string, { allowOut, denyOut, rest = "deny" }: EgressWanted): Promise<SandboxView> {
    const held = this.#of(caller, id);
    if (held.view.egress === undefined)
      throw new RuntimeError("failedPrecondition", `sandbox ${id} has no egress rules`);
    held.view = { ...held.view, egress: { allowOut, denyOut, rest } };
    return Promise.resolve(held.view);
  }

  skills(caller: Caller, id: string): readonly SkillFact[] {
    return [{ name: "of-the-double", from: `/skills/${this.get(caller, id).id}` }];
  }

  egress(caller: Caller, id: string): Promise<EgressFacts> {
    this.#of(caller, id);
    return Promise.resolve({
      refused: { metadata: 3, name: 1 },
      destinations: [
        { address: "169.254.169.254", protocol: "tcp", port: 80, packets: 3, agoS: 2, reason: "metadata" },
      ],
      names: [{ name: "evil.example", reason: "name", count: 1, atMs: Date.now() }],
    });
  }

  usage(caller: Caller, id: string): Promise<SandboxUsage> {
    const { vcpus, memoryMib, diskMib } = this.#of(caller, id).view;
    const mib = 1024 * 1024;
    return Promise.resolve({
      atMs: Date.now(),
      vcpus,
      cpuPercent: 12.5,
      memoryUsedBytes: 100 * mib,
      memoryTotalBytes: memoryMib * mib,
      memoryCacheBytes: 10 * mib,
      diskUsedBytes: 5 * mib,
      diskTotalBytes: diskMib * mib,
    });
  }

  processes(caller: Caller, id: string): Processes {
    return this.#of(caller, id).processes;
  }

  files(caller: Caller, id: string): Files {
    return this.#of(caller, id).files;
  }

  async connectPort(caller: Caller, id: string, port: number): Promise<PortConnection> {
    this.#of(caller, id);
    const socket = createConnection({ host: "127.0.0.1", port, allowHalfOpen: true });
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", (cause) => {
        reject(new RuntimeError("failedPrecondition", "nobody listens", { cause }));
      });
    });
    return {
      async *[Symbol.asyncIterator]() {
        for await (const chunk of socket) if (Buffer.isBuffer(chunk)) yield chunk;
      },
      write: (bytes) =>
        new Promise((resolve) => {
          if (socket.write(bytes)) resolve();
          else socket.once("drain", resolve);
        }),
      end: () => {
        socket.end();
      },
      close: () => {
        socket.destroy();
      },
    };
  }

  #of(caller: Caller, id: string): Held {
    const held = this.#held(id);
    if (held.view.tenant !== caller.tenant) throw new RuntimeError("notFound", `no sandbox ${id}`);
    return held;
  }

  #held(id: string): Held {
    const held = this.#all.get(id);
    if (held === undefined) throw new RuntimeError("notFound", `no sandbox ${id}`);
    return held;
  }
}

function fits(view: SandboxView, { metadata = {}, states, template, startedAfterMs }: SandboxFilter): boolean {
  return (
    Object.entries(metadata).every(([name, value]) => view.metadata[name] === value) &&
    (states === undefined || states.includes(view.state)) &&
    (template === undefined || view.template === template) &&
    (startedAfterMs === undefined || view.startedAtMs >= startedAfterMs)
  );
}

function viewOf(caller: Caller, wanted: SandboxWanted, id: SandboxName, home: string): SandboxView {
  return {
    id,
    tenant: caller.tenant,
    template: wanted.template,
    image: wanted.template,
    command: ["/bin/sh"],
    state: "running",
    startedAtMs: Date.now(),
    endsAtMs: Date.now() + (wanted.lifeMs ?? 60_000),
    vcpus: 2,
    memoryMib: 2048,
    diskMib: 10_240,
    env: wanted.env,
    user: "user",
    workingDir: home,
    mounts: [],
    metadata: wanted.metadata,
    network: wanted.network ?? "pod",
    ...(wanted.network === "none" ? {} : { egress: { ...noRules, ...wanted.egress } }),
    // Its name is its program.
    ...(wanted.agent === undefined
      ? {}
      : {
          agent: {
            name: wanted.agent,
            kind: "custom",
            command: wanted.agent === "mute" ? [] : ["/bin/sh", wanted.agent],
          },
        }),
    atEnd: "end",
    endsWithOwner: false,
    accessToken: randomBytes(24).toString("hex"),
    podId: "0".repeat(64),
    containerId: "1".repeat(64),
  };
}

const noRules = { allowOut: [], denyOut: [], rest: "allow" } as const;

function newName(): SandboxName {
  const name = randomBytes(10).toString("hex");
  if (!isName(name)) throw new Error(name);
  return name;
}

function isName(text: string): text is SandboxName {
  return /^[a-z0-9]{20}$/.test(text);
}
