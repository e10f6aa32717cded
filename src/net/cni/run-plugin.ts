import { spawn, type ChildProcess } from "node:child_process";
import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { RuntimeError, errnoOf, messageOf, type ErrorCode } from "../../base/errors.js";
import { sleep, stage } from "../../base/stage.js";
import { groupEnded, killGroup } from "./process-group.js";

/** One call of one plugin: CNI specification, section 2. */
export interface PluginCall {
  readonly type: string;
  readonly command: "ADD" | "CHECK" | "DEL" | "GC" | "STATUS";
  /** CNI_* variables beside CNI_COMMAND and CNI_PATH. */
  readonly variables: Readonly<Record<string, string>>;
  /** Goes to its standard input as JSON. */
  readonly config: Readonly<Record<string, unknown>>;
}

export interface PluginPlaces {
  /** Directories with plugins; the first that has it counts. */
  readonly binDirs: readonly string[];
  /** For each call of a plugin. */
  readonly limitMs: number;
}

const mostOutput = 1024 * 1024;
const keptErrorText = 2048;
/** Something that a plugin has left running may hold its output open. */
const drainMs = 500;
/** Who installs a plugin over an old one writes it for a moment; it can't be run meanwhile. */
const busyPauseMs = 100;
const busyLimitMs = 6_000;

const errorSchema = z.looseObject({ code: z.int(), msg: z.string().optional(), details: z.string().optional() });

/**
 * Runs a plugin to its end and gives the JSON that it has printed, undefined for none. A failure names the plugin, and
 * tells what it has said: its error object, or the end of its standard error.
 */
export async function runPlugin(call: PluginCall, places: PluginPlaces, signal: AbortSignal): Promise<unknown> {
  const program = await findPlugin(call.type, places.binDirs);
  return await stage(`CNI plugin "${call.type}" ${call.command}`, places.limitMs, signal, async (limited) => {
    const end = await execute(program, call, places, limited);
    if (end.code === 0) return parseOutput(end.stdout);
    throw failureOf(end);
  });
}

/** The executable's path; `failedPrecondition` when it is in none of the directories. */
export async function findPlugin(type: string, binDirs: readonly string[]): Promise<string> {
  for (const directory of binDirs) {
    const path = join(directory, type);
    if (await isProgram(path)) return path;
  }
  throw new RuntimeError("failedPrecondition", `CNI plugin "${type}" is not in ${binDirs.join(" or ")}`, {
    hint: "install it there, or name its directory in cni.bin_dirs",
  });
}

async function isProgram(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}

interface PluginEnd {
  readonly code: number | null;
  readonly killedBy: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function execute(
  program: string,
  call: PluginCall,
  places: PluginPlaces,
  signal: AbortSignal,
): Promise<PluginEnd> {
  const variables = { CNI_COMMAND: call.command, CNI_PATH: places.binDirs.join(":"), ...call.variables };
  const env = { ...process.env, ...variables };
  let child = started(program, env);
  for (let waitedMs = 0; child === undefined; waitedMs += busyPauseMs) {
    if (waitedMs >= busyLimitMs) throw new RuntimeError("unavailable", `it did not start: ${program} is being written`);
    await sleep(busyPauseMs, signal);
    child = started(program, env); // whoever listens to it must do so before anything else is waited for
  }
  return await outcome(child, call, signal);
}

async function outcome(child: ChildProcess, call: PluginCall, signal: AbortSignal): Promise<PluginEnd> {
  let killed: number | undefined;
  const kill = (): void => {
    killed = child.pid;
    if (killed !== undefined) killGroup(killed);
  };
  signal.addEventListener("abort", kill, { once: true });
  try {
    const output = collect(child, kill);
    child.stdin?.on("error", () => undefined); // it may end without reading
    child.stdin?.end(JSON.stringify(call.config));
    const [code, killedBy] = await ended(child);
    signal.throwIfAborted();
    if (output.tooLong()) throw new RuntimeError("internal", "it printed more than 1 MiB");
    return { code, killedBy, ...output.text() };
  } finally {
    signal.removeEventListener("abort", kill);
    if (killed !== undefined) await groupEnded(killed);
  }
}

/** The process, in a group of its own: what it has started ends with it. Undefined while somebody writes the program. */
function started(program: string, env: NodeJS.ProcessEnv): ChildProcess | undefined {
  try {
    return spawn(program, [], { env, stdio: "pipe", detached: true, cwd: "/" });
  } catch (cause) {
    if (errnoOf(cause) === "ETXTBSY") return undefined;
    throw new RuntimeError("internal", `it did not start: ${messageOf(cause)}`, { cause });
  }
}

function collect(
  child: ChildProcess,
  overflow: () => void,
): { tooLong: () => boolean; text: () => { stdout: string; stderr: string } } {
  const chunks: Buffer[] = [];
  let length = 0;
  let stderr = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    length += chunk.length;
    if (length > mostOutput) overflow();
    else chunks.push(chunk);
  });
  child.stderr?.on("data", (chunk: Buffer) => {
    stderr = (stderr + chunk.toString()).slice(-keptErrorText);
  });
  return { tooLong: () => length > mostOutput, text: () => ({ stdout: Buffer.concat(chunks).toString(), stderr }) };
}

/** Resolves once it has ended and its output is in, or nobody will close that. */
async function ended(child: ChildProcess): Promise<[number | null, string | null]> {
  return await new Promise((resolve, reject) => {
    child.once("error", (cause) => {
      reject(new RuntimeError("internal", `it did not start: ${cause.message}`, { cause }));
    });
    child.once("exit", (code, name) => {
      const timer = setTimeout(() => {
        child.stdout?.destroy();
        child.stderr?.destroy();
      }, drainMs);
      child.once("close", () => {
        clearTimeout(timer);
        resolve([code, name]);
      });
    });
  });
}

function parseOutput(stdout: string): unknown {
  if (stdout.trim() === "") return undefined;
  try {
    return JSON.parse(stdout) as unknown;
  } catch (cause) {
    const shown = JSON.stringify(stdout.slice(0, 120));
    throw new RuntimeError("internal", `it printed ${shown}, which is not JSON: ${messageOf(cause)}`, { cause });
  }
}

/** CNI specification, section 4: codes below 100 are its own, 11 asks to try again, 50 and 51 answer STATUS. */
const codes: Readonly<Record<number, ErrorCode>> = { 11: "unavailable", 50: "unavailable", 51: "unavailable" };

function failureOf({ code, killedBy, stdout, stderr }: PluginEnd): RuntimeError {
  const parsed = errorSchema.safeParse(jsonOrUndefined(stdout));
  if (parsed.success) {
    const { msg = "", details = "" } = parsed.data;
    const words = [msg, details].filter((part) => part !== "").join("; ");
    const text = words === "" ? `it failed with CNI error ${String(parsed.data.code)}` : words;
    return new RuntimeError(codes[parsed.data.code] ?? "internal", text);
  }
  const how = killedBy === null ? `ended with status ${String(code)}` : `was killed by ${killedBy}`;
  const said = (stderr.trim() === "" ? stdout : stderr).trim().split("\n").slice(-3).join(" | ");
  return new RuntimeError("internal", said === "" ? `it ${how}` : `it ${how}: ${said.slice(0, 400)}`);
}

function jsonOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
