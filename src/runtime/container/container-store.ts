import { realpath } from "node:fs/promises";
import { RuntimeError } from "../../base/errors.js";
import { currentHold, type Hold } from "../../base/hold.js";
import { shortId, type ContainerId, type PodId } from "../../base/ids.js";
import { Limiter } from "../../base/limiter.js";
import type { Logger } from "../../base/log.js";
import { orAborted } from "../../base/or-aborted.js";
import { SharedWork } from "../../base/shared-work.js";
import { neverAborted } from "../../base/signals.js";
import { publish } from "../events/publish.js";
import type { Happening } from "../events/container-event.js";
import { RecordDirectory } from "../../store/records.js";
import { TreeWalks } from "../stats/tree-walks.js";
import type { StoreParts } from "../store-parts.js";
import { Container } from "./container.js";
import { DecidedTogether } from "./decided-together.js";
import type { ContainerSpec } from "./container-spec.js";
import { containerRecords, type ContainerExit, type ContainerRecord } from "./container-record.js";
import { ApparmorProfiles } from "./apparmor-profiles.js";
import { SeccompFilters } from "./seccomp-filters.js";
import { HostLookups } from "../volumes/host-lookups.js";
import { LayeredRoots } from "../volumes/layered-roots.js";
import { LaterMounts } from "../volumes/later-mounts.js";
import { Mirrors } from "../volumes/mirrors.js";
import { SharedSources } from "../volumes/shared-sources.js";

/** What makes a container unique to kubelet, as one string. */
export function containerKey(sandbox: PodId, { name, attempt }: ContainerSpec): string {
  return JSON.stringify([sandbox, name, attempt]);
}

/** One under way, or with a step that was given up and goes on. */
interface Creation {
  readonly sandboxId: PodId;
  readonly end: Promise<unknown>;
  readonly hold: Hold | undefined;
}

/** All containers, each a record on disk. */
export class ContainerStore {
  /** One writer per container. Taken after the lock of its sandbox, never before. */
  readonly locks = new Limiter<ContainerId>({ perKey: 1 });
  /** CreateContainer under way, by `containerKey`. */
  readonly creations = new SharedWork<string, ContainerId>({ outlivesCallers: true });
  readonly parts: StoreParts;
  readonly seccomp: SeccompFilters;
  readonly apparmor: ApparmorProfiles;
  readonly sources: SharedSources;
  readonly mirrors: Mirrors;
  readonly laterMounts: LaterMounts;
  readonly layeredRoots: LayeredRoots;
  readonly lookups: HostLookups;
  /** Of this daemon, resolved: what is mounted there are Boxes' and images'. */
  readonly ownDirectories: readonly string[];
  readonly trees: TreeWalks;
  readonly together: DecidedTogether;
  readonly log: Logger;
  readonly #records: RecordDirectory<ContainerRecord>;
  readonly #containers = new Map<ContainerId, Container>();
  readonly #creating = new Map<ContainerId, Creation>();
  /** Writes of one record, in order, also those that were given up. */
  readonly #writes = new Limiter<ContainerId>({ perKey: 1 });

  private constructor(parts: StoreParts, records: RecordDirectory<ContainerRecord>, own: readonly string[]) {
    this.parts = parts;
    this.log = parts.log;
    this.seccomp = new SeccompFilters(parts.config.assets.dir);
    const { assets, sandbox } = parts.config;
    const { apparmorProfiles: directory, apparmor } = sandbox;
    this.apparmor = new ApparmorProfiles({ assetsDir: assets.dir, directory, always: apparmor === "always" });
    this.layeredRoots = new LayeredRoots(parts.config.sandbox.imageLayers);
    this.lookups = new HostLookups(parts.native);
    this.#records = records;
    this.ownDirectories = own;
    this.mirrors = new Mirrors(parts.log);
    this.laterMounts = new LaterMounts({ native: parts.native, own, log: parts.log });
    this.trees = new TreeWalks(parts.native);
    this.together = new DecidedTogether(parts, (sandbox) => this.#aliveOf(sandbox));
    this.sources = new SharedSources((sandbox) =>
      this.listOf(sandbox).map(({ id, record }) => ({ id, paths: record.sharedPaths })),
    );
  }

  /** Loads every record; `kind` may know older ones than the engine does. */
  static async open(parts: StoreParts, kind = containerRecords): Promise<ContainerStore> {
    const records = await RecordDirectory.open(parts.config.root, kind, parts.log);
    const { root, state } = parts.config;
    const own = await Promise.all([root, state].map((path) => realpath(path).catch(() => path)));
    const store = new ContainerStore(parts, records, own);
    for (const record of await records.load()) store.#containers.set(record.id, new Container(record));
    return store;
  }

  /** By id or by a prefix of it that fits one container only. `invalidArgument` when it fits several. */
  find(idOrPrefix: string): Container | undefined {
    const all = this.list();
    const exact = all.find((container) => container.id === idOrPrefix);
    if (exact !== undefined || idOrPrefix === "") return exact;
    const [first, second] = all.filter((container) => container.id.startsWith(idOrPrefix));
    if (second === undefined) return first;
    throw new RuntimeError("invalidArgument", `container id "${idOrPrefix}" fits several`, {
      hint: "give more digits",
    });
  }

  /** As `find`; `notFound` when there is none. */
  require(idOrPrefix: string): Container {
    const found = this.find(idOrPrefix);
    if (found !== undefined) return found;
    throw new RuntimeError("notFound", `container "${shortId(idOrPrefix)}" does not exist`);
  }

  findByKey(key: string): Container | undefined {
    return this.list().find(({ sandboxId, spec }) => containerKey(sandboxId, spec) === key);
  }

  /** Oldest first. */
  list(): Container[] {
    return [...this.#containers.values()].sort((a, b) => (a.record.createdAtNs < b.record.createdAtNs ? -1 : 1));
  }

  listOf(sandbox: PodId): Container[] {
    return this.list().filter(({ sandboxId }) => sandboxId === sandbox);
  }

  has(id: ContainerId): boolean {
    return this.#containers.has(id);
  }

  /** Also those whose creation is under way. */
  knows(id: string): boolean {
    return this.list().some((container) => container.id === id) || [...this.#creating.keys()].some((key) => key === id);
  }

  /** Runs a creation, so that the end of its sandbox can wait for it. */
  async creating<T>(id: ContainerId, sandbox: PodId, creation: () => Promise<T>): Promise<T> {
    const hold = currentHold();
    const end = creation();
    this.#creating.set(id, { sandboxId: sandbox, end, hold });
    const forget = (): void => void this.#creating.delete(id);
    try {
      return await end;
    } finally {
      if (hold === undefined || hold.isFree) forget();
      else void hold.freed().then(forget);
    }
  }

  /**
   * Resolves when no creation that is under way now in this sandbox is any more. `unavailable` where one has answered, and
   * a step of it that was given up goes on.
   */
  async creationsOf(sandbox: PodId, signal: AbortSignal): Promise<void> {
    const creations = [...this.#creating.values()].filter(({ sandboxId }) => sandboxId === sandbox);
    await orAborted(Promise.allSettled(creations.map(({ end }) => end)), signal);
    for (const { hold } of creations) if (hold?.isFree === false) throw hold.busy();
  }

  /** Writes a container's first record. */
  async add(record: ContainerRecord): Promise<Container> {
    const container = new Container(record);
    await this.#write(record.id, async () => {
      await this.#records.write(record);
      this.#containers.set(record.id, container);
    });
    this.#tell("created", container);
    await this.together.settleScore(container);
    return container;
  }

  /** Writes what has changed, then shows it. The caller holds the container's lock. */
  async update(container: Container, change: Partial<ContainerRecord>): Promise<void> {
    const before = await this.#write(container.id, async () => {
      const { state } = container;
      const record = { ...container.record, ...change };
      await this.#records.write(record);
      container.setRecord(record);
      return state;
    });
    if (before === "created" && container.state === "running") this.#tell("started", container);
    if (before !== "exited" && container.state === "exited") this.#tell("stopped", container);
    await this.together.settleScore(container);
  }

  /** The first exit that is recorded stays. The caller holds the container's lock. */
  async recordExit(container: Container, exit: ContainerExit): Promise<void> {
    if (!this.has(container.id) || container.state === "exited") return;
    await this.update(container, { exit });
    const { code, reason, message } = exit;
    this.log.info(
      { containerId: container.id, sandboxId: container.sandboxId, code, reason, message },
      "container exited",
    );
    await this.together.settleCpus(container);
  }

  /** Success when it is not there. The caller holds the container's lock. */
  async remove(id: ContainerId): Promise<void> {
    const container = await this.#write(id, async () => {
      await this.#records.remove(id);
      const known = this.#containers.get(id);
      this.#containers.delete(id);
      return known;
    });
    if (container === undefined) return;
    this.#tell("deleted", container);
    await this.together.settleScore(container);
    await this.together.settleCpus(container);
  }

  /** A write that was given up may still come: the next one of the record builds on it. */
  async #write<T>(id: ContainerId, write: () => Promise<T>): Promise<T> {
    return await this.#writes.runWhenFree(id, neverAborted, write);
  }

  #aliveOf(sandbox: PodId): Container[] {
    return this.listOf(sandbox).filter(({ state }) => state !== "exited");
  }

  /** What has just changed shows already. */
  #tell(happening: Happening, { id, sandboxId }: Container): void {
    const { events, sandboxes } = this.parts;
    publish(events, happening, id, sandboxes.find(sandboxId), () => this.listOf(sandboxId));
  }

  /** After the last creation: flushes and closes log files and watches; containers run on. */
  async close(): Promise<void> {
    this.mirrors.close();
    this.laterMounts.close();
    const followers = this.list().flatMap(({ follower }) => (follower === undefined ? [] : [follower]));
    for (const follower of followers) follower.stop();
    await Promise.all(followers.map(({ done }) => done));
  }
}
