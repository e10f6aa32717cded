import { createReadStream, createWriteStream } from "node:fs";
import { chmod, mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, posix } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { errnoOf, RuntimeError } from "../../base/errors.js";
import {
  FileKind,
  FileServiceService as service,
  type FileEntry,
  type ReadFileResponse,
  type WriteFileRequest,
} from "../../gen/sandboxes/v1/files.js";
import { exitStatus, parseFlags, usageError } from "../command.js";
import type { Edge } from "./connect.js";
import { findSandbox } from "./find-sandbox.js";
import { edgeOf, endpointFlag } from "./flags.js";
import { restoreModes, type DirectoryMode } from "./restore-modes.js";
import { writeFile } from "./write-file.js";

const options = { ...endpointFlag, user: { type: "string", short: "u" } } as const;
const partBytes = 64 * 1024;
const mostEntries = 10_000;
const permissions = 0o7777;
/** No set-uid and set-gid of a sandbox's choice. */
const permissionsHere = 0o1777;
/** What the owner of a directory needs to write into it. */
const toFill = 0o300;
const mostTold = 5;

interface There {
  readonly edge: Edge;
  readonly sandboxId: string;
  readonly user: string;
}

/**
 * `cp`: files and directories between this machine and a sandbox, `SANDBOX:PATH` being what is there. Into a directory that
 * is there; else under the name that is given, as with cp(1). Links are not followed in directories, and left out.
 */
export async function cp(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags({ args, options, allowPositionals: true });
  const [from, to, more] = positionals;
  if (from === undefined || to === undefined || more !== undefined) throw usageError("cp: from where to where?");
  const [source, target] = [placeOf(from), placeOf(to)];
  const said = source.sandbox ?? target.sandbox;
  if (said === undefined || (source.sandbox !== undefined && target.sandbox !== undefined)) {
    throw usageError("cp: one side is SANDBOX:PATH, the other a path of this machine");
  }
  using edge = await edgeOf(values);
  const { id } = await findSandbox(edge, said);
  const there = { edge, sandboxId: id, user: values.user ?? "" };
  if (target.sandbox === undefined) await fetchAll(there, source.path, target.path);
  else await sendAll(there, source.path, target.path);
  return exitStatus.ok;
}

function placeOf(said: string): { readonly sandbox: string | undefined; readonly path: string } {
  const [, sandbox, path] = /^([A-Za-z0-9_.-]+):(.*)$/s.exec(said) ?? [];
  return sandbox === undefined || path === undefined
    ? { sandbox, path: said }
    : { sandbox, path: path === "" ? "." : path };
}

async function sendAll(there: There, from: string, to: string): Promise<void> {
  const target = await entryOf(there, to);
  const isInto = target?.kind === FileKind.DIRECTORY;
  const open: DirectoryMode[] = [];
  await sendTree(there, from, isInto ? posix.join(target.path, basename(from)) : to, open);
  const { left, why } = await restoreModes(there.edge, there, open);
  if (left.length === 0) return;
  const some = left.slice(0, mostTold).join(", ") + (left.length > mostTold ? ", …" : "");
  process.stderr.write(`a3s-box: cp: these keep their owner's permission to write (${why}): ${some}\n`);
}

/** `open` gets the directories that have yet to get their modes, what is in one before it. */
async function sendTree(there: There, from: string, to: string, open: DirectoryMode[]): Promise<void> {
  const found = await stat(from);
  const mode = found.mode & permissions;
  if (!found.isDirectory()) {
    await sendFile(there, from, to, mode);
    return;
  }
  const all = await readdir(from, { withFileTypes: true });
  const entries = all.filter((entry) => entry.isDirectory() || entry.isFile());
  const isThere = (await entryOf(there, to)) !== undefined;
  const opened = isThere ? undefined : await makeDirectory(there, to, mode, entries.length > 0);
  for (const { name } of entries) await sendTree(there, join(from, name), posix.join(to, name), open);
  if (opened !== undefined) open.push({ path: opened, mode });
}

/** Makes it so that it can be filled. Its path, where it has more permissions than it is to have. */
async function makeDirectory(
  { edge, sandboxId, user }: There,
  path: string,
  mode: number,
  isFilled: boolean,
): Promise<string | undefined> {
  const make = async (with_: number): Promise<FileEntry | undefined> =>
    (await edge.call(service.makeDirectory, { sandboxId, user, path, mode: with_ })).entry;
  const made = await make(mode);
  const canBeFilled = (mode & toFill) === toFill || made?.uid === 0; // root writes into any
  if (!isFilled || canBeFilled || made === undefined) return undefined;
  await edge.call(service.removeFile, { sandboxId, user, path: made.path, recursive: false });
  return (await make(mode | toFill))?.path;
}

async function sendFile({ edge, sandboxId, user }: There, from: string, path: string, mode: number): Promise<void> {
  async function* parts(): AsyncGenerator<WriteFileRequest> {
    yield { open: { sandboxId, path, user, mode, parents: true }, data: undefined };
    for await (const data of createReadStream(from, { highWaterMark: partBytes }) as AsyncIterable<Buffer>) {
      yield { open: undefined, data };
    }
    yield { end: {} };
  }
  await edge.send(writeFile, parts());
}

async function fetchAll(there: There, from: string, to: string): Promise<void> {
  const entry = await entryOf(there, from);
  if (entry === undefined) throw new RuntimeError("notFound", `${from} is not in the sandbox`);
  const isInto = await stat(to).then(
    (found) => found.isDirectory(),
    () => false,
  );
  // The root has no name: what is in it goes into the directory.
  await fetchTree(there, entry, isInto ? join(to, entry.name === "" ? "" : plainName(entry)) : to);
}

async function fetchTree(there: There, entry: FileEntry, to: string): Promise<void> {
  if (entry.kind !== FileKind.DIRECTORY) {
    await fetchFile(there, entry, to);
    return;
  }
  const { edge, sandboxId, user } = there;
  const isNew = await makeHere(to);
  const request = { sandboxId, user, path: entry.path, depth: 1, limit: mostEntries };
  const { entries, truncated } = await edge.call(service.listFiles, request);
  if (truncated) {
    const hint = "pack it there, and copy the archive";
    throw new RuntimeError("resourceExhausted", `${entry.path} has more than ${String(mostEntries)} entries`, { hint });
  }
  for (const one of entries) {
    if (one.kind !== FileKind.DIRECTORY && one.kind !== FileKind.FILE) continue;
    await fetchTree(there, one, join(to, plainName(one)));
  }
  // Behind what is in it: it may be one that its owner can't write into. One that was there before keeps its own.
  if (isNew) await chmod(to, entry.mode & permissionsHere);
}

/** Open to its owner, and nobody else, while it is filled. False: it was there. */
async function makeHere(to: string): Promise<boolean> {
  await mkdir(dirname(to), { recursive: true });
  try {
    await mkdir(to, { mode: 0o700 });
    return true;
  } catch (thrown) {
    if (errnoOf(thrown) !== "EEXIST" || !(await stat(to)).isDirectory()) throw thrown;
    return false;
  }
}

/** What a sandbox says of its files is not trusted: a name stays in the directory that is made here. */
function plainName({ name }: FileEntry): string {
  if (name !== "" && name !== "." && name !== ".." && !/[/\0]/.test(name)) return name;
  throw new RuntimeError("invalidArgument", `"${name}" is no name of a file`);
}

/** All or nothing, as the other way round. */
async function fetchFile({ edge, sandboxId, user }: There, entry: FileEntry, to: string): Promise<void> {
  const partial = `${to}.a3s-part`;
  const request = { sandboxId, user, path: entry.path, offset: 0n, length: undefined };
  const bytes = async function* (parts: AsyncIterable<ReadFileResponse>) {
    for await (const { data } of parts) if (data !== undefined) yield data;
  };
  try {
    const source = Readable.from(bytes(edge.events(service.readFile, request)), { objectMode: true });
    await pipeline(source, createWriteStream(partial));
    await chmod(partial, entry.mode & 0o777);
    await rename(partial, to);
  } catch (thrown) {
    await rm(partial, { force: true });
    throw thrown;
  }
}

async function entryOf({ edge, sandboxId, user }: There, path: string): Promise<FileEntry | undefined> {
  try {
    return (await edge.call(service.statFile, { sandboxId, user, path, follow: true })).entry;
  } catch (thrown) {
    if (thrown instanceof RuntimeError && thrown.code === "notFound") return undefined;
    throw thrown;
  }
}
