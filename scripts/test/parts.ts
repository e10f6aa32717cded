import { spawn } from "node:child_process";

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export const noCounts: Counts = { passed: 0, failed: 0, skipped: 0 };

export interface PartResult {
  readonly status: number | null;
  /** The last part of what it printed. */
  readonly output: string;
}

const keptOutput = 64 * 1024;

/** Runs an npm script with its output shown as it comes; `environment` goes on top of this process's. */
export async function runPart(
  script: string,
  root: string,
  signal: AbortSignal,
  environment: Readonly<Record<string, string>>,
): Promise<PartResult> {
  const child = spawn("npm", ["run", "--silent", script], {
    cwd: root,
    env: { ...process.env, ...environment },
    stdio: ["ignore", "pipe", "pipe"],
    signal,
    killSignal: "SIGTERM",
  });
  let output = "";
  const take = (chunk: Buffer, to: NodeJS.WriteStream): void => {
    to.write(chunk);
    output = (output + chunk.toString()).slice(-keptOutput);
  };
  child.stdout.on("data", (chunk: Buffer) => {
    take(chunk, process.stdout);
  });
  child.stderr.on("data", (chunk: Buffer) => {
    take(chunk, process.stderr);
  });
  const status = await new Promise<number | null>((resolve) => {
    child.once("error", () => {
      resolve(null);
    });
    child.once("close", resolve);
  });
  return { status, output };
}

/**
 * The tests of a part, from mocha's closing lines or the nested VM's one. A part that prints neither, and one that
 * fails without a failed test, counts as one test of its own.
 */
export function countsOf(result: PartResult): Counts {
  const nested = last(result.output, /(\d+) passed, (\d+) failed, (\d+) skipped/g);
  const counts: Counts =
    nested === undefined
      ? {
          passed: numberOf(result.output, /^ {2}(\d+) passing/gm),
          failed: numberOf(result.output, /^ {2}(\d+) failing/gm),
          skipped: numberOf(result.output, /^ {2}(\d+) pending/gm),
        }
      : { passed: Number(nested[1]), failed: Number(nested[2]), skipped: Number(nested[3]) };
  if (result.status !== 0) return { ...counts, failed: Math.max(1, counts.failed) };
  return counts.passed + counts.skipped === 0 ? { ...counts, passed: 1 } : counts;
}

export function addCounts(a: Counts, b: Counts): Counts {
  return { passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped };
}

function last(text: string, pattern: RegExp): RegExpMatchArray | undefined {
  return [...text.replaceAll(/\u001b\[[0-9;]*m/g, "").matchAll(pattern)].at(-1);
}

function numberOf(text: string, pattern: RegExp): number {
  return Number(last(text, pattern)?.[1] ?? "0");
}
