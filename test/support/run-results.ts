/** What runs of test files say together. */
import type { TestResult } from "./nested-vm/reporter.js";

export interface FileRun {
  readonly file: string;
  readonly results: readonly TestResult[];
  /** Mocha's own: 0, or the number of failures. */
  readonly status: number | null;
}

export interface Tally {
  readonly passed: number;
  readonly skipped: number;
  readonly failed: readonly TestResult[];
  /** Passed only at the second try, with the error of the first. */
  readonly second: readonly TestResult[];
}

/** A file whose mocha ended badly without a failed test counts as a failed test of that name. */
export function tally(first: readonly FileRun[], again: readonly FileRun[]): Tally {
  const last = new Map<string, TestResult>();
  const failedFirst = new Map<string, TestResult>();
  for (const result of first.flatMap(resultsOf)) {
    last.set(result.title, result);
    if (result.state === "failed") failedFirst.set(result.title, result);
  }
  for (const run of again) {
    // A hook that passes leaves no result; one that failed before stands until its file has run without a failure.
    const whole = run.status === 0;
    const before = first.find(({ file }) => file === run.file);
    for (const { title, state } of before === undefined ? [] : resultsOf(before)) {
      if (whole && state === "failed" && isNoTest(title, run.file)) last.delete(title);
    }
    for (const result of resultsOf(run)) last.set(result.title, result);
  }
  const all = [...last.values()];
  const failed = all.filter(({ state }) => state === "failed");
  const second = [...failedFirst.values()].filter(({ title }) => last.get(title)?.state !== "failed");
  const count = (state: TestResult["state"]): number => all.filter((result) => result.state === state).length;
  return { passed: count("passed"), skipped: count("skipped"), failed, second };
}

function resultsOf(run: FileRun): readonly TestResult[] {
  const twice = run.results.find(({ title }, at) => run.results.findIndex((other) => other.title === title) < at);
  if (twice !== undefined) return [...run.results, { ...twice, title: `${twice.title} (two tests)`, state: "failed" }];
  if (run.status === 0 || run.results.some(({ state }) => state === "failed")) return run.results;
  const error = `mocha ended with ${String(run.status)}`;
  return [...run.results, { title: run.file, state: "failed", durationMs: 0, error, bedFault: null }];
}

function isNoTest(title: string, file: string): boolean {
  return title.includes('" hook') || title === file;
}

export function resultOf(line: string): TestResult {
  const parsed: unknown = JSON.parse(line);
  if (isResult(parsed)) return parsed;
  throw new Error(`not a test's result: ${line}`);
}

export function isResult(parsed: unknown): parsed is TestResult {
  return typeof parsed === "object" && parsed !== null && "title" in parsed && "state" in parsed;
}

/** For a regular expression. */
export function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\/]/g, "\\$&");
}

/** The same order for the same seed (Fisher and Yates, with a linear congruential generator). */
export function inRandomOrder<T>(items: readonly T[], seed: number): T[] {
  const order = [...items];
  let state = seed % 2 ** 31;
  for (let left = order.length; left > 1; left--) {
    state = Number((BigInt(state) * 1_103_515_245n + 12_345n) % 2n ** 31n);
    const at = Math.floor((state / 2 ** 31) * left);
    const [taken] = order.splice(at, 1);
    if (taken !== undefined) order.push(taken);
  }
  return order;
}
