import type { BoxId } from "../../base/ids.js";
import type { CgroupPlan } from "../cgroup/plan.js";
import type { RunningBox } from "../running-box.js";
import { nameOf, type PoolClass } from "./pool-class.js";

export interface Entry {
  readonly id: BoxId;
  readonly of: PoolClass;
  readonly sinceNs: bigint;
  /** `made`: also one that was found again and has not answered yet. `taken`: for a pod. `going`: nobody gets it any more. */
  state: "made" | "ready" | "taken" | "going";
  /** Of one that is ready, or taken. */
  box?: RunningBox;
  /** Where its processes are going to be, by its record. */
  to?: CgroupPlan;
  /** It is being taken away. */
  leaving?: Promise<void> | undefined;
}

/** What the pool knows of its Boxes, oldest first. */
export class Entries {
  readonly #entries = new Map<BoxId, Entry>();

  all(): Entry[] {
    return [...this.#entries.values()].sort((a, b) => (a.sinceNs < b.sinceNs ? -1 : 1));
  }

  get(id: BoxId): Entry | undefined {
    return this.#entries.get(id);
  }

  add(entry: Entry): void {
    this.#entries.set(entry.id, entry);
  }

  delete(id: BoxId): void {
    this.#entries.delete(id);
  }

  /** Of the first of the classes that has one. */
  oldestReady(classes: readonly PoolClass[]): Entry | undefined {
    const ready = this.all().filter(({ state, box }) => state === "ready" && box?.exit === undefined);
    for (const of of classes) {
      const found = ready.find((entry) => nameOf(entry.of) === nameOf(of));
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** Those that are ready, or will be. */
  countOf(of: PoolClass): number {
    return this.#countOf(of, ["made", "ready"]);
  }

  /** With those that are being taken away: they take memory until they have gone. */
  placesOf(of: PoolClass): number {
    return this.#countOf(of, ["made", "ready", "going"]);
  }

  #countOf(of: PoolClass, states: readonly Entry["state"][]): number {
    return this.all().filter((entry) => nameOf(entry.of) === nameOf(of) && states.includes(entry.state)).length;
  }
}
