import { setInterval } from "node:timers";
import { codeOf, messageOf } from "../../base/errors.js";
import { onItsOwn } from "../../base/hold.js";
import { neverAborted } from "../../base/signals.js";
import { SharedWork } from "../../base/shared-work.js";
import { operation, stage } from "../../base/stage.js";
import type { SandboxEnd } from "../../metrics/sandbox-figures.js";
import { pausePod, resumePod } from "../../runtime/pod/pause.js";
import type { Pod } from "../../runtime/pod/pod.js";
import type { Core } from "./core.js";
import { podOf, removePod } from "./pod-of.js";
import type { AgentSandboxRecord } from "./record.js";
import type { SandboxName } from "./sandbox.js";
import { TimerQueue } from "./timer-queue.js";
import { Uses } from "./uses.js";
import { liveSandbox } from "./view.js";

/** How often the machine's facts are looked at: Boxes that have gone, owners that have ended. No call to anybody. */
const lookEveryMs = 1000;
/** An end that did not come about is tried again. */
const againMs = 10_000;
const endLimitMs = 180_000;
const stepLimitMs = 20_000;
/** A use is written down when this part of the idle time has passed since the last that was. */
const partOfIdle = 10;

/** The ends of sandboxes: at their time, for want of use, with their owner, when their Box has gone, and when asked for. */
export class Lives {
  readonly uses: Uses;
  readonly #core: Core;
  readonly #timers: TimerQueue<SandboxName>;
  readonly #pausing = new SharedWork<SandboxName, void>({ outlivesCallers: true });
  readonly #resuming = new SharedWork<SandboxName, void>({ outlivesCallers: true });
  readonly #endings = new SharedWork<SandboxName, void>({ outlivesCallers: true });
  #looking: NodeJS.Timeout | undefined;

  constructor(core: Core) {
    this.#core = core;
    this.#timers = new TimerQueue((id) => {
      this.#timeCame(id);
    });
    this.uses = new Uses((id, atMs) => {
      this.#used(id, atMs);
    });
  }

  /** Of one that is ready, and again when its record has changed. */
  watch(record: AgentSandboxRecord): void {
    this.#timers.set(record.id, this.#dueMs(record));
    this.#looking ??= setInterval(() => {
      this.#look();
    }, lookEveryMs).unref();
  }

  /** It stands still from now on, and does not end at its time. Success where it does already. */
  async pause(id: SandboxName, signal: AbortSignal): Promise<void> {
    await this.#pausing.run(id, signal, async () => {
      const { engine, records } = this.#core;
      const record = records.get(id);
      const pod = record === undefined ? undefined : podOf(record, engine);
      if (record === undefined || pod === undefined) return; // it has ended meanwhile
      await pausePod(pod, engine, engine.closing);
      this.#watchAgain(id);
    });
  }

  /** It goes on with the time that it had left, and where that was over with the usual one. */
  async resume(id: SandboxName, signal: AbortSignal): Promise<void> {
    await this.#resuming.run(id, signal, async () => {
      const { engine, records } = this.#core;
      const record = records.get(id);
      const pod = record === undefined ? undefined : podOf(record, engine);
      if (record === undefined || pod === undefined) return;
      const pausedAtMs = Number((pod.record.pausedAtNs ?? 0n) / 1_000_000n);
      if (pausedAtMs === 0) await resumePod(pod, engine, engine.closing);
      else await this.#resumeWithTime(record, pausedAtMs, pod);
      this.#watchAgain(id);
    });
  }

  /** Its end is written down first: a use of it, and the next daemon, must not find one that goes on and is due. */
  async #resumeWithTime({ id, endsAtMs, usedAtMs }: AgentSandboxRecord, pausedAtMs: number, pod: Pod): Promise<void> {
    const { config, engine, records } = this.#core;
    const write = (change: Partial<AgentSandboxRecord>): Promise<unknown> =>
      stage("record end time", stepLimitMs, engine.closing, () => records.update(id, change));
    const now = Date.now();
    const leftMs = Math.min(endsAtMs - pausedAtMs, config.maxLifeMs); // it may have been extended meanwhile
    const change = { endsAtMs: now + (leftMs > 0 ? leftMs : config.lifeMs), usedAtMs: now };
    await write(change);
    try {
      await resumePod(pod, engine, engine.closing);
    } catch (thrown) {
      // Not where somebody has given it another end meanwhile.
      if (records.get(id)?.endsAtMs === change.endsAtMs) await write({ endsAtMs, usedAtMs });
      throw thrown;
    }
  }

  #watchAgain(id: SandboxName): void {
    const record = this.#core.records.get(id);
    if (record !== undefined && record.end === undefined) this.watch(record);
  }

  /** Records that it is to end, then ends it. Joins an end that is under way. */
  async end(id: SandboxName, reason: SandboxEnd, signal: AbortSignal): Promise<void> {
    await this.#endings.run(id, signal, () =>
      operation(`end sandbox ${id}`, endLimitMs, this.#core.engine.closing, (limit) => this.#end(id, reason, limit)),
    );
  }

  /** Nothing ends any more: what is due, the next daemon does. */
  close(): void {
    this.#timers.clear();
    clearInterval(this.#looking);
    this.#looking = undefined;
  }

  async #end(id: SandboxName, reason: SandboxEnd, signal: AbortSignal): Promise<void> {
    const { engine, figures, insides, log, records } = this.#core;
    const before = records.get(id);
    if (before === undefined) return;
    this.#timers.delete(id);
    const end = before.end ?? { atMs: Date.now(), reason };
    if (before.end === undefined) await stage("record end", stepLimitMs, signal, () => records.update(id, { end }));
    const pod = podOf(before, engine);
    await pod?.whenSettled(signal);
    await removePod(pod, engine, signal);
    await insides.remove(id, signal);
    await stage("remove record", stepLimitMs, signal, () => records.remove(id));
    this.uses.forget(id);
    figures.ended(end.reason);
    log.info({ sandbox: id, tenant: before.tenant, reason: end.reason }, "sandbox ended");
  }

  /** Tries again later, until it has come about. */
  endSoon(id: SandboxName, reason: SandboxEnd): void {
    if (this.#endings.has(id)) return;
    void onItsOwn(async () => {
      try {
        await this.end(id, reason, neverAborted);
      } catch (thrown) {
        if (this.#core.engine.closing.aborted) return;
        this.#core.log.warn(
          { sandbox: id, code: codeOf(thrown), err: messageOf(thrown) },
          "sandbox could not be ended",
        );
        this.#timers.set(id, Date.now() + againMs);
      }
    });
  }

  #timeCame(id: SandboxName): void {
    const record = this.#core.records.get(id);
    if (record === undefined) return;
    if (record.end !== undefined) this.endSoon(id, record.end.reason);
    else if (this.#isPaused(record)) return;
    else if (record.endsAtMs <= Date.now()) this.#overSoon(record, "time");
    else if (this.#dueMs(record) <= Date.now()) this.#overSoon(record, "idle");
    else this.#timers.set(id, this.#dueMs(record));
  }

  /** What is to become of it at the end of its time. */
  #overSoon({ id, atEnd }: AgentSandboxRecord, reason: "time" | "idle"): void {
    if (atEnd === "end") this.endSoon(id, reason);
    else void onItsOwn(() => this.#pauseOrAgain(id, reason));
  }

  async #pauseOrAgain(id: SandboxName, reason: "time" | "idle"): Promise<void> {
    const { engine, log } = this.#core;
    try {
      await this.pause(id, neverAborted);
      log.info({ sandbox: id, reason }, "sandbox paused at the end of its time");
    } catch (thrown) {
      if (engine.closing.aborted) return;
      log.warn({ sandbox: id, code: codeOf(thrown), err: messageOf(thrown) }, "sandbox could not be paused");
      this.#timers.set(id, Date.now() + againMs);
    }
  }

  #isPaused(record: AgentSandboxRecord): boolean {
    return podOf(record, this.#core.engine)?.isPaused === true;
  }

  /** One that is paused is kept: it counts in its tenant's quota, and its owner's end is its own. */
  #dueMs(record: AgentSandboxRecord): number {
    const { id, endsAtMs, idleMs, usedAtMs } = record;
    if (this.#isPaused(record)) return Number.POSITIVE_INFINITY;
    if (idleMs === 0) return endsAtMs;
    const lastMs = this.uses.lastMs(id, usedAtMs);
    return lastMs === undefined ? endsAtMs : Math.min(endsAtMs, lastMs + idleMs);
  }

  #used(id: SandboxName, atMs: number): void {
    const { log, records } = this.#core;
    const record = records.get(id);
    if (record === undefined || record.idleMs === 0) return;
    this.#timers.set(id, this.#dueMs(record));
    if (atMs - record.usedAtMs < record.idleMs / partOfIdle) return;
    records.update(id, { usedAtMs: atMs }).catch((thrown: unknown) => {
      log.warn({ sandbox: id, err: messageOf(thrown) }, "use of a sandbox could not be written down");
    });
  }

  #look(): void {
    for (const record of this.#core.records.all()) {
      const { id, end, owner, ready } = record;
      if (ready === undefined || end !== undefined) continue;
      if (liveSandbox(record, this.#core) === undefined) this.endSoon(id, "lost");
      else if (owner !== undefined && this.#core.owners.isThere(owner) === false) this.endSoon(id, "owner");
    }
  }
}
