import { RuntimeError } from "../../../base/errors.js";
import type { ProcessWanted, TerminalWanted } from "../process.js";

/** What the agent takes of a process in all, less what the container's own is. */
const mostBytes = 768 * 1024;
/** Of a tag, and of a start's id. */
const mostNameCharacters = 256;
const largestSize = 0xffff;

/** Throws `invalidArgument`; a copy that nobody changes. What users, directories and programs there are the engine says. */
export function checkedWanted(wanted: ProcessWanted): ProcessWanted {
  const { terminal, tag, startId, limitMs } = wanted;
  if ((wanted.args[0] ?? "") === "") throw invalid("no program is named");
  if (tag.length > mostNameCharacters) throw invalid(`a tag has ${mostNameCharacters} characters at most`);
  if ((startId ?? "").length > mostNameCharacters) {
    throw invalid(`a start's id has ${mostNameCharacters} characters at most`);
  }
  if (!Number.isFinite(limitMs) || limitMs < 0) throw invalid(`${limitMs} ms is no time limit`);
  if (terminal !== undefined) checkSize(terminal);
  const copy = Object.freeze({
    args: Object.freeze([...wanted.args]),
    env: Object.freeze({ ...wanted.env }),
    workingDir: wanted.workingDir,
    user: wanted.user,
    ...(terminal === undefined ? {} : { terminal: Object.freeze({ columns: terminal.columns, rows: terminal.rows }) }),
    stdin: wanted.stdin,
    tag,
    ...(startId === undefined ? {} : { startId }),
    limitMs,
  });
  const bytes = Buffer.byteLength(JSON.stringify(copy));
  if (bytes > mostBytes) throw invalid(`arguments and environment of ${bytes} bytes are more than ${mostBytes}`);
  return copy;
}

export function checkSize({ columns, rows }: TerminalWanted): void {
  for (const size of [columns, rows]) {
    if (!Number.isInteger(size) || size < 0 || size > largestSize) throw invalid(`${size} is no size of a terminal`);
  }
}

function invalid(what: string): RuntimeError {
  return new RuntimeError("invalidArgument", what);
}
