import { watch, type FSWatcher } from "node:fs";
import { join } from "node:path";
import { closedDirectory } from "../../base/closed-directory.js";
import { monotonicMs } from "../../base/clock.js";
import { messageOf, RuntimeError } from "../../base/errors.js";
import { onItsOwn } from "../../base/hold.js";
import { Limiter } from "../../base/limiter.js";
import type { Logger } from "../../base/log.js";
import { readRecord, writeRecord } from "../../base/record-file.js";
import { anyOf } from "../../base/signals.js";
import { stage } from "../../base/stage.js";
import type { Native } from "../../native/addon.js";
import type { SkillFact, SkillSource } from "../../runtime/skills/pod-skills.js";
import * as z from "zod";
import { hostTree } from "./host-tree.js";
import { readSource, wholeRoom, type FoundSkill, type Room } from "./read-source.js";
import { writeSkills } from "./write-skills.js";

const readLimitMs = 20_000;
/** A swap is a few events in a row. */
const settleMs = 100;
/** Between two readings: whoever writes there without an end costs the daemon no more than that. */
const usualPauseMs = 1000;
/** Of problems, in one line of the log. */
const mostSaid = 16;
const sourcesFile = "sources.json";
const sourcesSchema = z.array(z.object({ within: z.string(), path: z.string() }));

export interface SetParts {
  readonly native: Pick<Native, "openIn" | "closeFd">;
  readonly log: Logger;
  /** Aborted when the daemon stops. */
  readonly closing: AbortSignal;
  /** Between two readings; usually a second. */
  readonly pauseMs?: number;
}

/** The skills of one container: what its sources have, put together in a directory that is mounted in it, for as long as it is there. */
export class SkillSet {
  readonly #directory: string;
  readonly #sources: readonly SkillSource[];
  readonly #parts: SetParts;
  readonly #turns = new Limiter<"one">({ perKey: 1 });
  readonly #watchers = new Map<string, FSWatcher>();
  #facts: readonly SkillFact[] = [];
  #complaint = "";
  #soon: NodeJS.Timeout | undefined;
  #readAtMs = Number.NEGATIVE_INFINITY;
  readonly #over = new AbortController();

  /** `directory`: its own, of which nobody else knows. */
  constructor(directory: string, sources: readonly SkillSource[], parts: SetParts) {
    this.#directory = directory;
    this.#sources = sources;
    this.#parts = parts;
  }

  /** One of an earlier daemon. */
  static async found(directory: string, parts: SetParts): Promise<SkillSet> {
    const sources = sourcesSchema.parse(await readRecord(join(directory, sourcesFile)));
    return new SkillSet(directory, sources, parts);
  }

  /** What is mounted. */
  get mounted(): string {
    return join(this.#directory, "now");
  }

  get facts(): readonly SkillFact[] {
    return this.#facts;
  }

  hasSources(sources: readonly SkillSource[]): boolean {
    return JSON.stringify(sources) === JSON.stringify(this.#sources);
  }

  /** Reads all of it, and goes on as it changes. */
  async begin(signal: AbortSignal): Promise<void> {
    await this.#inTurn(signal, async (limit) => {
      await closedDirectory(this.#directory);
      await writeRecord(join(this.#directory, sourcesFile), this.#sources);
      await this.#readAll(limit);
    });
  }

  async refresh(signal: AbortSignal): Promise<void> {
    await this.#inTurn(signal, (limit) => this.#readAll(limit));
  }

  /** Nothing is followed any more. What is being read is given up, also for who waits for it. */
  close(): void {
    this.#over.abort(new RuntimeError("canceled", "these skills are not followed any more"));
    clearTimeout(this.#soon);
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  /** Closes it; resolves when it writes nothing any more. */
  async end(signal: AbortSignal): Promise<void> {
    this.close();
    await this.#turns.runWhenFree("one", signal, () => Promise.resolve());
  }

  async #inTurn(signal: AbortSignal, work: (limit: AbortSignal) => Promise<void>): Promise<void> {
    await stage("read skills", readLimitMs, anyOf(signal, this.#over.signal), (limit) =>
      this.#turns.run("one", limit, () => work(limit)),
    );
  }

  async #readAll(signal: AbortSignal): Promise<void> {
    const room: Room = { ...wholeRoom };
    const skills = new Map<string, FoundSkill>();
    const problems: SkillFact[] = [];
    const looked = new Set<string>();
    for (const source of this.#sources) {
      looked.add(source.path);
      // Before it is read: what changes while it is read is seen after.
      this.#watch(source.path);
      try {
        const reading = await readSource(source, hostTree(source, this.#parts.native), room, signal);
        for (const path of reading.looked) looked.add(join(source.path, path));
        problems.push(...reading.problems);
        for (const skill of reading.skills) {
          const { name, from } = skill;
          const first = skills.get(name);
          if (first === undefined) skills.set(name, skill);
          else problems.push({ name, from, problem: `another of that name is in ${first.from}` });
        }
      } catch (thrown) {
        signal.throwIfAborted(); // what is there stays as it is
        problems.push({ name: "", from: source.path, problem: messageOf(thrown) });
      }
    }
    await writeSkills(this.mounted, join(this.#directory, "new"), [...skills.values()]);
    this.#readAtMs = monotonicMs();
    this.#followOnly(looked);
    const found = [...skills.values()].map(({ name, description, from }) => ({ name, description, from }));
    this.#facts = [...found, ...problems];
    this.#say(problems);
  }

  /** Said once for as long as it is the same. */
  #say(problems: readonly SkillFact[]): void {
    const complaint = JSON.stringify(problems);
    if (complaint === this.#complaint) return;
    this.#complaint = complaint;
    if (problems.length === 0) return;
    const said = problems.slice(0, mostSaid);
    this.#parts.log.warn({ skills: said, more: problems.length - said.length }, "skills are left out");
  }

  /** What changed in a directory between its reading and its watch is read once more. */
  #followOnly(wanted: ReadonlySet<string>): void {
    const before = this.#watchers.size;
    for (const path of wanted) this.#watch(path);
    if (this.#watchers.size > before) this.#look();
    for (const [path, watcher] of this.#watchers) {
      if (wanted.has(path)) continue;
      watcher.close();
      this.#watchers.delete(path);
    }
  }

  #watch(path: string): void {
    if (this.#over.signal.aborted || this.#watchers.has(path)) return;
    try {
      // The next reading watches again: by then it may be another directory of that name.
      const again = (): void => {
        if (this.#watchers.get(path) === watcher) this.#watchers.delete(path);
        watcher.close();
        this.#look();
      };
      const watcher = watch(path, { persistent: false }, again);
      watcher.on("error", again);
      this.#watchers.set(path, watcher);
    } catch (thrown) {
      this.#parts.log.debug({ path, err: messageOf(thrown) }, "skills can't be watched");
    }
  }

  #look(): void {
    if (this.#over.signal.aborted || this.#soon !== undefined) return;
    const pauseMs = this.#parts.pauseMs ?? usualPauseMs;
    const waitMs = Math.max(settleMs, this.#readAtMs + pauseMs - monotonicMs());
    this.#soon = setTimeout(() => {
      this.#soon = undefined;
      void onItsOwn(async () => {
        try {
          await this.refresh(this.#parts.closing);
        } catch (thrown) {
          if (!this.#parts.closing.aborted && !this.#over.signal.aborted)
            this.#parts.log.warn({ err: messageOf(thrown) }, "skills are not up to date");
        }
      });
    }, waitMs).unref();
  }
}
