/** GET /sandboxes/{id}/logs, in the form of either version. */
import { RuntimeError } from "../../../base/errors.js";
import type { SandboxLogLine } from "../../core/logs.js";
import { sendJson } from "../answer.js";
import type { ControlCall } from "./call.js";

const mostLines = 1000;
const longestSearch = 1000;
/** The higher ones are in the lower ones' answer. */
const levels = ["debug", "info", "warn", "error"] as const;
type Level = (typeof levels)[number];

interface LogEntry {
  readonly timestamp: string;
  readonly level: Level;
  readonly message: string;
  readonly fields: Readonly<Record<string, string>>;
}

/**
 * What the sandbox's template has started has written, and what has happened to it and to its processes. The output of
 * commands is their own: whoever connects to them has it.
 */
export async function logs({ caller, name, options, request, response, version }: ControlCall): Promise<void> {
  const { searchParams: query } = request.url;
  const limit = Math.min(whole(query.get("limit"), mostLines), mostLines);
  const fromMs = whole(query.get(version === 1 ? "start" : "cursor"), undefined);
  const backward = oneOf(query.get("direction"), ["forward", "backward"], "forward") === "backward";
  const least = levels.indexOf(oneOf(query.get("level"), levels, "debug"));
  const search = (query.get("search") ?? "").slice(0, longestSearch);
  const lines = await options.sandboxes.logs(caller, name);
  const fits = (line: SandboxLogLine): boolean =>
    (fromMs === undefined || (backward ? line.atMs <= fromMs : line.atMs >= fromMs)) &&
    levels.indexOf(levelOf(line)) >= least &&
    line.text.includes(search);
  const found = (backward ? [...lines].reverse() : lines).filter(fits).slice(0, limit);
  const entries = found.map(entryOf);
  sendJson(response, 200, version === 1 ? ofVersion1(entries) : { logs: entries });
}

function ofVersion1(logEntries: readonly LogEntry[]) {
  return { logs: logEntries.map(({ timestamp, message }) => ({ timestamp, line: message })), logEntries };
}

/** Programs write to standard error what is no error, too. */
function levelOf({ source }: SandboxLogLine): Level {
  return source === "stderr" ? "warn" : "info";
}

function entryOf(line: SandboxLogLine): LogEntry {
  const process = line.process === undefined ? {} : { pid: String(line.process) };
  return {
    timestamp: new Date(line.atMs).toISOString(),
    level: levelOf(line),
    message: line.text,
    fields: { source: line.source, ...process },
  };
}

function whole<T>(text: string | null, otherwise: T): number | T {
  if (text === null || text === "") return otherwise;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new RuntimeError("invalidArgument", `${text.slice(0, 40)} is no whole number of the query`);
}

function oneOf<T extends string>(text: string | null, allowed: readonly T[], otherwise: T): T {
  if (text === null || text === "") return otherwise;
  const found = allowed.find((one) => one === text);
  if (found !== undefined) return found;
  throw new RuntimeError("invalidArgument", `${text.slice(0, 40)} is none of ${allowed.join(", ")}`);
}
