import { spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { appendFile, mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { RuntimeError } from "../../src/base/errors.js";

/** What the set-up's steps share: who waits, where logs go, and where the person reads. */
export interface SetupContext {
  readonly signal: AbortSignal;
  /** The repository. */
  readonly root: string;
  /** The user's cache directory of this project. */
  readonly cache: string;
  /** One line for the person who waits. */
  readonly say: (line: string) => void;
}

export interface RunOptions {
  readonly signal: AbortSignal;
  readonly cwd?: string;
  /** Added to this process' environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Everything the program prints is appended here, and named in the error. */
  readonly logFile?: string;
}

const errorLines = 15;
const maxKeptOutput = 1024 * 1024;

/**
 * Runs a program to its end and returns what it wrote to standard output. A failure is a `RuntimeError` with the last
 * lines of its output. Standard input is empty.
 */
export async function run(file: string, args: readonly string[], options: RunOptions): Promise<string> {
  if (options.logFile !== undefined) {
    await mkdir(dirname(options.logFile), { recursive: true });
    await appendFile(options.logFile, `$ ${[file, ...args].join(" ")}\n`);
  }
  const log = options.logFile === undefined ? undefined : createWriteStream(options.logFile, { flags: "a" });
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: { ...process.env, LC_ALL: "C.UTF-8", ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
    signal: options.signal,
    killSignal: "SIGTERM",
  });
  const out: string[] = [];
  let both = "";
  const take = (chunk: Buffer): void => {
    both = (both + chunk.toString()).slice(-maxKeptOutput);
    log?.write(chunk);
  };
  child.stdout.on("data", (chunk: Buffer) => {
    out.push(chunk.toString());
    take(chunk);
  });
  child.stderr.on("data", take);
  const failure = await new Promise<string | undefined>((resolve) => {
    child.once("error", (thrown) => {
      resolve(thrown.message);
    });
    child.once("close", (code, signal) => {
      resolve(code === 0 ? undefined : `ended with ${signal ?? `status ${String(code)}`}`);
    });
  });
  log?.end();
  if (failure !== undefined) {
    const last = both.trimEnd().split("\n").slice(-errorLines).join("\n");
    const where = options.logFile === undefined ? "" : `\n(all of it: ${options.logFile})`;
    throw new RuntimeError("internal", `${file} ${args.slice(0, 3).join(" ")}: ${failure}\n${last}${where}`);
  }
  return out.join("");
}

/** The same, undefined instead of an error: for asking whether something is there. */
export async function tryRun(file: string, args: readonly string[], options: RunOptions): Promise<string | undefined> {
  try {
    return await run(file, args, options);
  } catch {
    options.signal.throwIfAborted();
    return undefined;
  }
}
