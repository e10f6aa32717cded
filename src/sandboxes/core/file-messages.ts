/** Between what the agent and its callers say of files. Names of files are bytes there, text here. */
import { isUtf8 } from "node:buffer";
import { RuntimeError } from "../../base/errors.js";
import {
  FileEventKind,
  FileKind,
  type FileAttribute,
  type FileEntry as AgentEntry,
  type FileEvent as AgentEvent,
} from "../../gen/agent/v1/agent.js";
import type { FileAttributes, FileEntry, FileEvent } from "./file.js";

const longestPath = 4096;
const longestUser = 256;
const permissions = 0o7777;

export function checkedPath(path: string): Uint8Array {
  if (path === "") throw new RuntimeError("invalidArgument", "no path given");
  return pathBytes(path);
}

/** Absent: no bytes. */
export function optionalPath(path: string | undefined): Uint8Array {
  return pathBytes(path ?? "");
}

function pathBytes(path: string): Uint8Array {
  if (path.includes("\0")) throw new RuntimeError("invalidArgument", "a path contains a NUL byte");
  const bytes = Buffer.from(path);
  if (bytes.length <= longestPath) return bytes;
  throw new RuntimeError("invalidArgument", `a path is longer than ${String(longestPath)} bytes`);
}

export function checkedText(text: string, what: string): string {
  if (Buffer.byteLength(text) <= longestUser && !text.includes("\0")) return text;
  throw new RuntimeError("invalidArgument", `${what} is not one`);
}

export function checkedMode(mode: number): number {
  if (Number.isInteger(mode) && mode >= 0 && mode <= permissions) return mode;
  throw new RuntimeError("invalidArgument", `mode ${String(mode)} is not within 0 and 07777`);
}

const kinds: Partial<Record<FileKind, FileEntry["kind"]>> = {
  [FileKind.FILE]: "file",
  [FileKind.DIRECTORY]: "directory",
  [FileKind.LINK]: "link",
};

export function entryOf(entry: AgentEntry): FileEntry {
  const path = textOf(entry.path);
  const kind = kinds[entry.kind] ?? "other";
  return {
    name: path.slice(path.lastIndexOf("/") + 1),
    path,
    kind,
    sizeBytes: Number(entry.sizeBytes),
    mode: entry.mode & permissions,
    uid: entry.uid,
    gid: entry.gid,
    owner: textOf(entry.owner),
    group: textOf(entry.group),
    modifiedAtMs: Number(entry.modifiedAtNs / 1_000_000n),
    ...(kind === "link" ? { target: textOf(entry.target) } : {}),
    ...(entry.attributes.length === 0 ? {} : { attributes: attributesOf(entry.attributes) }),
  };
}

export function agentAttributes(attributes: FileAttributes = new Map()): FileAttribute[] {
  return Array.from(attributes, ([name, value]) => ({ name: Buffer.from(name), value: Buffer.from(value) }));
}

/** What was set by the container's programs may be any bytes. */
function attributesOf(attributes: readonly FileAttribute[]): FileAttributes {
  const known = new Map<string, string>();
  for (const { name, value } of attributes) {
    if (isUtf8(name) && isUtf8(value)) known.set(textOf(name), textOf(value));
  }
  return known;
}

const eventKinds: Partial<Record<FileEventKind, FileEvent["kind"]>> = {
  [FileEventKind.CREATE]: "create",
  [FileEventKind.WRITE]: "write",
  [FileEventKind.REMOVE]: "remove",
  [FileEventKind.RENAME]: "rename",
  [FileEventKind.CHMOD]: "chmod",
};

/** Undefined for one that this daemon does not know. */
export function eventOf({ kind, path }: AgentEvent): FileEvent | undefined {
  const known = eventKinds[kind];
  return known === undefined ? undefined : { kind: known, path: textOf(path) };
}

/** What is no UTF-8 becomes U+FFFD. */
function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
}
