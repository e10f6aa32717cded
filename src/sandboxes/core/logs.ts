/** What a sandbox has to tell: its start command's output, and what has happened to it and its processes. */
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isNotFound } from "../../base/errors.js";
import { namesIn } from "../../base/names-in.js";
import { textOf } from "../../base/text-of.js";
import { parseStamp } from "../../runtime/logs/log-format.js";
import { rotatedOf } from "../../runtime/logs/log-file.js";
import type { ProcessView } from "./process.js";
import type { AgentSandboxRecord } from "./record.js";
import type { SandboxName } from "./sandbox.js";

export interface SandboxLogLine {
  readonly atMs: number;
  /** Of the start command; event: the daemon's word. */
  readonly source: "stdout" | "stderr" | "event";
  readonly text: string;
  /** Of an event about a process. */
  readonly process?: number;
}

export const logName = "main.log";
const longestArgs = 200;

export function logDirectory(root: string, id: SandboxName): string {
  return join(logsOf(root), id);
}

function logsOf(root: string): string {
  return join(root, "sandbox-logs");
}

/** Success where there is none. */
export async function removeLogs(root: string, id: SandboxName): Promise<void> {
  await rm(logDirectory(root, id), { recursive: true, force: true });
}

/** Of sandboxes that nobody knows any more, at the daemon's start. */
export async function removeStrayLogs(root: string, known: ReadonlySet<string>): Promise<void> {
  for (const name of await namesIn(logsOf(root))) {
    if (!known.has(name)) await rm(join(logsOf(root), name), { recursive: true, force: true });
  }
}

/** All that is kept, in the order of time. */
export async function logLines(
  root: string,
  record: Pick<AgentSandboxRecord, "id" | "createdAtMs" | "ready" | "template">,
  processes: readonly ProcessView[],
): Promise<SandboxLogLine[]> {
  const path = join(logDirectory(root, record.id), logName);
  const events = [...lifeOf(record), ...processes.flatMap(eventsOf)];
  return [...(await linesOf(path)), ...events].sort((one, other) => one.atMs - other.atMs);
}

function lifeOf({
  createdAtMs,
  ready,
  template,
}: Pick<AgentSandboxRecord, "createdAtMs" | "ready" | "template">): SandboxLogLine[] {
  const asked = { atMs: createdAtMs, source: "event", text: `sandbox asked for, of ${template}` } as const;
  return ready === undefined ? [asked] : [asked, { atMs: ready.atMs, source: "event", text: "sandbox ready" }];
}

function eventsOf({ id, wanted, startedAtMs, exit }: ProcessView): SandboxLogLine[] {
  const about = { source: "event", process: id } as const;
  const args = wanted.args.join(" ");
  const shown = args.length > longestArgs ? `${args.slice(0, longestArgs)}…` : args;
  const begun = { ...about, atMs: startedAtMs, text: `process ${String(id)} started: ${shown}` };
  return exit === undefined ? [begun] : [begun, { ...about, atMs: exit.atMs, text: endOf(id, exit) }];
}

function endOf(id: number, { code, signal, timedOut, lost }: NonNullable<ProcessView["exit"]>): string {
  const how = signal === 0 ? `exited with ${String(code)}` : `was ended by signal ${String(signal)}`;
  const why = lost ?? (timedOut ? "its time was over" : "");
  return `process ${String(id)} ${how}${why === "" ? "" : ` (${why})`}`;
}

/** Of the file and of what it was before it was rotated. Parts of one long line are one again. */
async function linesOf(path: string): Promise<SandboxLogLine[]> {
  const lines: SandboxLogLine[] = [];
  const partial = { stdout: "", stderr: "" };
  for (const name of [...(await rotated(path)), path]) {
    for (const line of (await textOf(name)).split("\n")) {
      const [, stamp = "", source, tag, text = ""] = /^(\S+) (stdout|stderr) ([PF]) (.*)$/s.exec(line) ?? [];
      const atNs = parseStamp(stamp);
      if (atNs === undefined || (source !== "stdout" && source !== "stderr")) continue;
      partial[source] += text;
      if (tag === "P") continue;
      lines.push({ atMs: Number(atNs / 1_000_000n), source, text: partial[source] });
      partial[source] = "";
    }
  }
  return lines;
}

async function rotated(path: string): Promise<string[]> {
  try {
    return (await rotatedOf(path)).map((name) => join(dirname(path), name));
  } catch (thrown) {
    if (isNotFound(thrown)) return []; // of an earlier daemon, which kept none
    throw thrown;
  }
}
