/** What a run of the tests has come to, over one outer VM after another. */
import type { TestResult } from "./reporter.js";
import { judge, unrun, type Verdict, type VmRun } from "./verdict.js";

/** Titles of the tests for the next VM: all, or nothing more to run. */
export type Next = readonly string[] | "all" | "none";

/**
 * What a fault of the bed has spoilt runs again in a fresh VM; what it spoils each time is skipped, and says so. What
 * failed by itself is tried once more, as with the other driver: a test that passes only then is named.
 */
export class Course {
  readonly passed = new Set<string>();
  readonly skipped = new Set<string>();
  readonly failed: TestResult[] = [];
  readonly #failedOnce = new Map<string, TestResult>();

  /** Takes in what one VM's run had; `last`: no other follows. */
  take(run: VmRun, last: boolean): Next {
    const verdict = judge(run);
    for (const title of verdict.passed) this.passed.add(title);
    for (const { title } of verdict.skipped) this.skipped.add(title);
    const second = last ? [] : this.#secondChances(verdict);
    this.failed.push(...verdict.failed.filter((result) => !second.includes(result)));
    if (last) this.#giveUp(verdict, run.trouble);
    if (last) return "none";
    if (verdict.again === "all") return "all";
    const titles = second.map(({ title }) => title);
    const tests = titles.filter((title) => verdict.planned.includes(title));
    const stopped = tests.length < titles.length ? verdict.stopped : [];
    const next = [...verdict.again.keys(), ...tests, ...stopped];
    return next.length === 0 ? "none" : next;
  }

  /** What failed in one VM and passed in another, with its first error: these are to be looked into. */
  get passedAtSecondTry(): readonly TestResult[] {
    return [...this.#failedOnce.values()].filter(({ title }) => this.passed.has(title));
  }

  /** A hook gets its chance with the tests that it stopped; where it stopped none it can't be tried again. */
  #secondChances(verdict: Verdict): readonly TestResult[] {
    const second = verdict.failed.filter(
      ({ title }) => !this.#failedOnce.has(title) && (verdict.planned.includes(title) || verdict.stopped.length > 0),
    );
    for (const result of second) this.#failedOnce.set(result.title, result);
    return second;
  }

  #giveUp(verdict: Verdict, trouble: string | undefined): void {
    if (verdict.again === "all") {
      this.failed.push(unrun("the tests", trouble ?? "mocha did not start"));
      return;
    }
    for (const [title, why] of verdict.again) {
      // A VM that hangs or ends each time over one test is no longer bad luck.
      if (why === trouble) this.failed.push(unrun(title, why));
      else this.skipped.add(title);
    }
  }
}
