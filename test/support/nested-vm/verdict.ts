/** What the runs of the tests in one outer VM after another say together. */
import { isResult } from "../run-results.js";
import type { TestResult } from "./reporter.js";

/** What one VM's results channel had. */
export interface VmRun {
  /** Titles of the tests that were to run; undefined when mocha did not come that far. */
  readonly planned: readonly string[] | undefined;
  readonly results: readonly TestResult[];
  /** Why the VM ended before its script did; undefined when it did not. */
  readonly trouble: string | undefined;
}

export interface Verdict {
  readonly planned: readonly string[];
  readonly passed: readonly string[];
  /** Ours. A hook among them has its own title, which is none of a test. */
  readonly failed: readonly TestResult[];
  /** Did not run, after a hook of ours that failed. */
  readonly stopped: readonly string[];
  readonly skipped: readonly TestResult[];
  /** The bed's: for a fresh VM, with the reason; or all, when nothing ran. */
  readonly again: ReadonlyMap<string, string> | "all";
}

/** Reads the channel's lines. */
export function vmRun(lines: readonly string[], failure: string | undefined): VmRun {
  const results: TestResult[] = [];
  let planned: string[] | undefined;
  let ended = false;
  for (const line of lines) {
    const parsed: unknown = JSON.parse(line);
    if (isResult(parsed)) results.push(parsed);
    else if (isPlan(parsed)) planned = parsed.planned;
    else ended = true;
  }
  const trouble = failure ?? (ended ? undefined : "the outer VM ended before the tests did");
  return { planned, results, trouble };
}

/**
 * A test that failed together with a fault of the bed is tried again, and so is one that did not come to run because of
 * such a fault (of a hook before it, or of the VM).
 */
export function judge({ planned, results, trouble }: VmRun): Verdict {
  if (planned === undefined) return { planned: [], passed: [], failed: [], stopped: [], skipped: [], again: "all" };
  const last = new Map(results.map((result) => [result.title, result]));
  const again = new Map<string, string>();
  const failed: TestResult[] = [];
  let why = trouble;
  for (const result of last.values()) {
    if (result.state !== "failed") continue;
    if (result.bedFault === null) failed.push(result);
    else if (planned.includes(result.title)) again.set(result.title, result.bedFault);
    else why ??= result.bedFault;
  }
  const missing = planned.filter((title) => !last.has(title));
  const stopped: string[] = [];
  const oursToo = failed.some(({ title }) => !planned.includes(title));
  for (const title of missing) {
    if (why !== undefined) again.set(title, why);
    else if (oursToo) stopped.push(title);
    else failed.push(unrun(title, "it did not run, and nothing says why"));
  }
  const named = (state: TestResult["state"]): TestResult[] =>
    [...last.values()].filter((result) => result.state === state && planned.includes(result.title));
  const passed = named("passed").map(({ title }) => title);
  return { planned, passed, failed, stopped, skipped: named("skipped"), again };
}

export function unrun(title: string, error: string): TestResult {
  return { title, state: "failed", durationMs: 0, error, bedFault: null };
}

function isPlan(parsed: unknown): parsed is { planned: string[] } {
  return typeof parsed === "object" && parsed !== null && "planned" in parsed && Array.isArray(parsed.planned);
}
