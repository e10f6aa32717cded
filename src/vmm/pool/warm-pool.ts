import { join } from "node:path";
import { Cleanup } from "../../base/cleanup.js";
import { nowNs } from "../../base/clock.js";
import { messageOf, RuntimeError } from "../../base/errors.js";
import { Hold, onItsOwn, under } from "../../base/hold.js";
import { newBoxId, shortId, type BoxId } from "../../base/ids.js";
import { isThere } from "../../base/is-there.js";
import type { Logger } from "../../base/log.js";
import { namesIn } from "../../base/names-in.js";
import { anyOf, neverAborted } from "../../base/signals.js";
import { stage } from "../../base/stage.js";
import { netnsPath } from "../../config/paths.js";
import type { Native } from "../../native/addon.js";
import type { BoxHandle, BoxSpec } from "../box.js";
import {
  boxDirectoryAt,
  boxDirectoryOf,
  boxesDirectory,
  readBoxRecord,
  writeBoxRecord,
  type BoxRecord,
} from "../box-directory.js";
import { planBoxCgroup, type CgroupSettings } from "../cgroup/plan.js";
import type { MachineDriver } from "../driver-name.js";
import type { RunningBox } from "../running-box.js";
import type { BoxPool, PoolFacts, TakenBox } from "./box-pool.js";
import { claimBox } from "./claim-box.js";
import { ClassKeys } from "./class-keys.js";
import { Entries, type Entry } from "./entries.js";
import { keepFull } from "./keep-full.js";
import { usualLimits, type PoolLimits } from "./limits.js";
import { makeReady, type ReadyMaker } from "./make-ready.js";
import type { RehearsedContainer } from "./warm-up.js";
import { classesOf, fitting, nameOf, type MissReason, type PoolClass, type PoolWish } from "./pool-class.js";

/** Who hears how the pool does. */
export interface PoolObserver {
  hit(): void;
  miss(reason: MissReason): void;
}

export interface PoolParts {
  readonly native: Native;
  readonly log: Logger;
  readonly state: string;
  /** Directory of the guest base. */
  readonly guestBase: string;
  readonly cgroups: CgroupSettings;
  readonly wanted: readonly PoolClass[];
  /** As pods with a network have it; null: pods have none. */
  readonly tap: string | null;
  readonly rehearsed: RehearsedContainer;
  readonly leastFreeMib: number;
  readonly observer: PoolObserver;
  /** Absent: the usual ones. */
  readonly limits?: Partial<PoolLimits>;
}

/** What the pool has Boxes from. */
export interface BoxMaker extends ReadyMaker {
  /** Pods are being made. */
  readonly isBusy: boolean;
  adopt(id: BoxId, handle: BoxHandle): Promise<RunningBox | null>;
  discard(id: BoxId, signal: AbortSignal): Promise<void>;
  /** Of all that a machine of the driver depends on, beside its size. */
  identity(driver: MachineDriver): Promise<string>;
}

export class WarmPool implements BoxPool {
  readonly #parts: PoolParts;
  readonly #maker: BoxMaker;
  readonly #classes: readonly PoolClass[];
  readonly #entries = new Entries();
  /** What goes on beside the keeping. */
  readonly #besides = new Set<Promise<void>>();
  readonly #limits: PoolLimits;
  readonly #keys: ClassKeys;
  #wake = new AbortController();
  #takenMs = Number.NEGATIVE_INFINITY;
  /** By the names of classes. */
  readonly #failures = new Map<string, string>();
  #keeping: Promise<void> = Promise.resolve();

  constructor(parts: PoolParts, maker: BoxMaker) {
    this.#parts = parts;
    this.#limits = { ...usualLimits, ...parts.limits };
    this.#maker = maker;
    this.#classes = classesOf(parts.wanted);
    this.#keys = new ClassKeys(parts.tap, (driver) => maker.identity(driver));
  }

  take(wish: PoolWish): TakenBox | undefined {
    if (wish.among.length === 0) return undefined;
    const found = fitting(wish, this.#classes, this.#parts.tap);
    const entry = typeof found === "string" ? undefined : this.#entries.oldestReady(found);
    if (entry === undefined) {
      this.#parts.observer.miss(typeof found === "string" ? found : "empty");
      return undefined;
    }
    entry.state = "taken";
    this.#takenMs = performance.now();
    const { vcpus, memoryMib } = entry.of;
    return { id: entry.id, vcpus, memoryMib };
  }

  async leave(id: BoxId, cgroupParent: string): Promise<void> {
    const entry = this.#entries.get(id);
    if (entry?.state !== "taken" || entry.box === undefined) throw new RuntimeError("internal", "no Box was taken");
    const { driver, processes, cgroups } = entry.box.handle;
    const to = await planBoxCgroup(cgroupParent, id, "leaf", this.#parts.cgroups);
    const record: BoxRecord = { version: 1, id, driver, processes, cgroups: [...to.directories, ...cgroups] };
    await writeBoxRecord(boxDirectoryOf(this.#parts.state, id), record);
    entry.to = to;
  }

  /** The Box that was taken under this id; undefined where none was, or it can't be had: all but its namespace is then gone. */
  async claim(spec: BoxSpec, signal: AbortSignal): Promise<RunningBox | undefined> {
    const { log, observer } = this.#parts;
    const entry = this.#entries.get(spec.id);
    if (entry?.state !== "taken") return undefined;
    try {
      const { box, to } = entry;
      if (box === undefined || to === undefined) throw new RuntimeError("internal", "it has not left the pool");
      await claimBox(box, spec, to, log, signal);
      this.#entries.delete(spec.id);
      observer.hit();
      return box;
    } catch (thrown) {
      if (signal.aborted) throw thrown; // who gives the pod up discards it
      log.warn({ sandboxId: spec.id, err: messageOf(thrown) }, "a ready Box could not be had; another one comes up");
      observer.miss("broken");
      await this.#maker.discard(spec.id, AbortSignal.timeout(this.#limits.discardMs));
      this.#entries.delete(spec.id);
      return undefined;
    }
  }

  async discard(id: BoxId, signal: AbortSignal): Promise<void> {
    const entry = this.#entries.get(id);
    if (entry !== undefined) await this.#takeAway(entry, signal);
  }

  ids(): readonly BoxId[] {
    return this.#entries.all().map(({ id }) => id);
  }

  async adopt(isPods: (id: BoxId) => boolean, closing: AbortSignal): Promise<void> {
    const { state, log } = this.#parts;
    if (this.#classes.length === 0) return; // what an earlier one had is then a Box without a pod as any other
    for (const name of await namesIn(boxesDirectory(state))) {
      const record = await readBoxRecord(boxDirectoryAt(join(boxesDirectory(state), name))).catch(() => undefined);
      if (record?.pool === undefined || isPods(record.id)) continue;
      await this.#adoptOne(record, closing).catch((thrown: unknown) => {
        log.warn({ sandboxId: record.id, err: messageOf(thrown) }, "a ready Box could not be taken up");
      });
    }
    this.#keeping = onItsOwn(() => this.#keep(closing));
  }

  async idle(): Promise<void> {
    await Promise.all([this.#keeping, ...this.#besides]);
  }

  get facts(): PoolFacts {
    const ready = this.#entries.all().filter(({ state }) => state === "ready");
    const classes = this.#classes.map((of) => {
      const name = nameOf(of);
      return { name, wanted: of.count, ready: ready.filter((entry) => nameOf(entry.of) === name).length };
    });
    return { classes, oldestNs: ready[0]?.sinceNs, failure: [...this.#failures.values()].at(-1) };
  }

  async memory(): Promise<bigint> {
    const boxes = this.#entries.all().flatMap(({ box, state }) => (state === "ready" ? (box ?? []) : []));
    const each = await Promise.all(boxes.map((box) => box.memoryUsage().catch(() => 0n)));
    return each.reduce((sum, bytes) => sum + bytes, 0n);
  }

  /** Something has happened that the pool may have waited for. */
  wake(): void {
    this.#wake.abort();
  }

  async #keep(closing: AbortSignal): Promise<void> {
    const { log, leastFreeMib } = this.#parts;
    await keepFull({
      ...{ log, leastFreeMib, classes: this.#classes, entries: this.#entries, closing },
      isBusy: () => this.#maker.isBusy,
      takenMs: () => this.#takenMs,
      failed: (of, why) => {
        this.#failures.delete(nameOf(of)); // who failed last is the last
        if (why !== undefined) this.#failures.set(nameOf(of), why);
      },
      fill: (of) => this.#fill(of, anyOf(closing, AbortSignal.timeout(this.#limits.makeMs))),
      takeAway: (entry) => this.#takeAwayInTime(entry),
      woken: () => {
        this.#wake = new AbortController();
        return this.#wake.signal;
      },
    });
  }

  /** What is given up on the way is taken away now, and once more when it has settled (docs/adr/0076). */
  async #fill(of: PoolClass, signal: AbortSignal): Promise<void> {
    const entry: Entry = { id: newBoxId(), of, sinceNs: nowNs(), state: "made" };
    this.#entries.add(entry);
    const hold = new Hold();
    const { stepMs, discardMs } = this.#limits;
    try {
      await under(hold, async () => {
        await using undo = new Cleanup(this.#parts.log, discardMs);
        undo.add("take ready box away", (limited) => this.#takeAway(entry, limited));
        const box = await makeReady(entry, { ...this.#parts, stepMs, maker: this.#maker, keys: this.#keys }, signal);
        undo.release();
        this.#ready(entry, box);
      });
    } finally {
      this.#goesOnBeside(hold.freed());
    }
  }

  #ready(entry: Entry, box: RunningBox): void {
    entry.box = box;
    entry.state = "ready";
    void onItsOwn(async () => {
      const { reason } = await box.exited;
      if (entry.state !== "ready") return; // it is a pod's, or being taken away
      entry.state = "going";
      this.#parts.log.warn({ sandboxId: entry.id, reason }, "a ready Box has ended");
      this.wake();
    });
    if (box.exit !== undefined) entry.state = "going";
  }

  async #takeAwayInTime(entry: Entry): Promise<void> {
    await stage(`take ready box ${shortId(entry.id)} away`, this.#limits.discardMs, neverAborted, (limited) =>
      this.#takeAway(entry, limited),
    );
  }

  /** What can't be taken away now is tried again. */
  async #takeAway(entry: Entry, signal: AbortSignal): Promise<void> {
    const { native, state } = this.#parts;
    entry.state = "going";
    entry.leaving ??= (async () => {
      await this.#maker.discard(entry.id, signal);
      await native.removeNetns(netnsPath({ state }, entry.id));
      this.#entries.delete(entry.id);
      this.wake();
    })().finally(() => {
      entry.leaving = undefined;
    });
    await entry.leaving;
  }

  async #adoptOne({ id, driver, processes, cgroups, pool }: BoxRecord, closing: AbortSignal): Promise<void> {
    const { state, log } = this.#parts;
    const of = await stage("look at programs", this.#limits.stepMs, closing, () =>
      this.#keys.classWith(pool?.key, this.#classes),
    );
    const entry: Entry = { id, of: of ?? noClass, sinceNs: pool?.sinceNs ?? nowNs(), state: "made" };
    const isWanted = of !== undefined && this.#entries.countOf(of) < of.count;
    this.#entries.add(entry);
    const { serverRoot, deviceMac } = pool ?? {};
    const directory = boxDirectoryOf(state, id).path;
    const facts = { driver, processes, directory, cgroups, serverRoot, deviceMac };
    const fits = isWanted && (await isThere(netnsPath({ state }, id)));
    const box = fits ? await this.#maker.adopt(id, { ...facts, sharedBy: "server" }) : null;
    if (box === null) {
      await this.#takeAwayInTime(entry);
      log.info({ sandboxId: id, wanted: isWanted }, "a ready Box of an earlier daemon discarded");
      return;
    }
    this.#goesOnBeside(onItsOwn(() => this.#lookAt(entry, box, closing)));
  }

  #goesOnBeside(work: Promise<void>): void {
    this.#besides.add(work);
    void work.finally(() => this.#besides.delete(work));
  }

  /** It is ready again once it has answered this daemon. */
  async #lookAt(entry: Entry, box: RunningBox, closing: AbortSignal): Promise<void> {
    const { log } = this.#parts;
    try {
      await stage("look at ready box", this.#limits.adoptMs, closing, (limited) => box.agent.hello(limited));
      this.#ready(entry, box);
      log.info({ sandboxId: entry.id, of: nameOf(entry.of) }, "a ready Box of an earlier daemon taken up");
    } catch (thrown) {
      if (closing.aborted) return; // the next daemon looks
      log.warn({ sandboxId: entry.id, err: messageOf(thrown) }, "a ready Box of an earlier daemon does not answer");
      entry.state = "going";
      this.wake();
    }
  }
}

/** Of a Box that is only there to be taken away. */
const noClass: PoolClass = { driver: "qemu", vcpus: 0, memoryMib: 0, count: 0 };
