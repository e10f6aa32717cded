/** Metadata of files: extended attributes in the sandbox, by the names under which E2B's own server keeps them. */
import type { IncomingMessage } from "node:http";
import { RuntimeError } from "../../base/errors.js";
import type { FileAttributes, FileScope } from "../core/file.js";

/** A name in the file system is at most 255 bytes, so that 246 of them are the key's. */
const prefix = "user.e2b.";
const header = "x-metadata-";
const longestName = 255;
/** Names and values of one file together, as ext4 has room for them. */
const mostBytes = 4096;
/** The agent's own bound. */
const mostKeys = 128;

/** Files as E2B's clients see them: with their metadata. */
export function scopeOf(user: string): FileScope {
  return { user, attributesWith: prefix };
}

/** What an upload says of its files; of a header that comes twice the first. Undefined: nothing. */
export function metadataAsked({
  headersDistinct,
}: Pick<IncomingMessage, "headersDistinct">): FileAttributes | undefined {
  const attributes = new Map<string, string>();
  let bytes = 0;
  for (const [name, values] of Object.entries(headersDistinct)) {
    if (!name.startsWith(header) || name === header) continue;
    const [key, value] = [prefix + name.slice(header.length), values?.[0] ?? ""];
    if (key.length > longestName) throw invalid(`a key of metadata is longer than ${longestName - prefix.length}`);
    if (!/^[\x20-\x7e]*$/.test(value)) throw invalid(`${name}: metadata is printable ASCII`);
    bytes += key.length + value.length;
    attributes.set(key, value);
  }
  if (attributes.size > mostKeys)
    throw invalid(`${attributes.size} keys of metadata, ${mostKeys} are kept with a file`);
  if (bytes > mostBytes) throw invalid(`the metadata is ${bytes} bytes, ${mostBytes} are kept with a file`);
  return attributes.size === 0 ? undefined : attributes;
}

/** Undefined: none, as the clients want it. */
export function metadataOf(attributes: FileAttributes | undefined): Readonly<Record<string, string>> | undefined {
  const entries = [...(attributes ?? [])].flatMap(([name, value]) =>
    name.startsWith(prefix) ? [[name.slice(prefix.length), value] as const] : [],
  );
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

function invalid(what: string): RuntimeError {
  return new RuntimeError("invalidArgument", what);
}
