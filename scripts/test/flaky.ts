/**
 * Tests that fail at their first try and pass at the second: each run lists them at its end, and too many of them fail it,
 * for a test that is left to its luck hides what it was written to find.
 */
import { appendFile, readFile } from "node:fs/promises";
import { isNotFound } from "../../src/base/errors.js";

export interface FlakyTest {
  /** What the run calls its part: the tests' directory. */
  readonly part: string;
  readonly title: string;
  /** Of the first try. */
  readonly error: string;
}

/** More causes fail the run. */
export const mostFlaky = 2;

/** Names the file in which the parts of a whole run collect theirs. */
export const flakyVariable = "A3S_FLAKY";

/** Whether somebody collects them, who then judges the whole run. */
export function isCollected(environment: NodeJS.ProcessEnv): boolean {
  return environment[flakyVariable] !== undefined;
}

/** Shows what was flaky in a part, and hands it to the whole run where it is one of its parts. */
export async function tellFlaky(tests: readonly FlakyTest[], environment: NodeJS.ProcessEnv): Promise<void> {
  if (tests.length === 0) return;
  for (const { title, error } of tests) console.log(`\npassed at the second try: ${title}\n${error}`);
  const file = environment[flakyVariable];
  if (file !== undefined) await appendFile(file, tests.map((test) => `${JSON.stringify(test)}\n`).join(""));
  else console.log(`\n${flakyReport(tests)}`);
}

export async function readFlaky(file: string): Promise<FlakyTest[]> {
  const text = await readFile(file, "utf8").catch((thrown: unknown) => {
    if (isNotFound(thrown)) return "";
    throw thrown;
  });
  const lines = text.split("\n").filter((line) => line !== "");
  return lines.map((line) => {
    const parsed: unknown = JSON.parse(line);
    if (isFlakyTest(parsed)) return parsed;
    throw new Error(`not a flaky test: ${line}`);
  });
}

/** One line for each, with the first of its error; "" for none. */
export function flakyReport(tests: readonly FlakyTest[]): string {
  if (tests.length === 0) return "";
  const verdict = isTooFlaky(tests) ? `; more than ${String(mostFlaky)} causes fail the run` : "";
  const lines = tests.map((test) => `  ${test.part}: ${test.title}: ${firstLine(test)}`);
  return `flaky: ${String(tests.length)} passed at the second try only${verdict}\n${lines.join("\n")}`;
}

/**
 * Those of one part that fail with the same words have one cause: what the first has left can fail all that follow. Which
 * container it was makes no difference.
 */
export function isTooFlaky(tests: readonly FlakyTest[]): boolean {
  return new Set(tests.map((test) => `${test.part}: ${withoutIds(firstLine(test))}`)).size > mostFlaky;
}

function withoutIds(words: string): string {
  return words.replaceAll(/[0-9a-f]{8,}/g, "ID");
}

function firstLine({ error }: FlakyTest): string {
  return error.split("\n")[0] ?? "";
}

function isFlakyTest(parsed: unknown): parsed is FlakyTest {
  return typeof parsed === "object" && parsed !== null && "part" in parsed && "title" in parsed && "error" in parsed;
}
