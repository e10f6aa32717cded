/**
 * What a template is made of, a Box that is no pod's: below `state/templates`, where nobody looks for pods. It is there while a
 * daemon makes it, and until the next one starts where one has died over it.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { BoxId } from "../../base/ids.js";
import { namesIn } from "../../base/names-in.js";
import { boxDirectoryAt, boxesDirectory, readBoxRecord } from "../box-directory.js";
import { discardBox, removeBoxDirectory, type DiscardDeps } from "../discard-box.js";
import { partIn } from "./template-files.js";

const discardLimitMs = 15_000;
const netnsSuffix = ".netns";

/** In a daemon's state directory. */
export function templatesDirectory(state: string): string {
  return join(state, "templates");
}

/** The namespace is there first and goes last: where it is, something may be. */
export function netnsOf(directory: string, id: BoxId): string {
  return join(directory, id + netnsSuffix);
}

export function monitorOf(directory: string, id: BoxId): string {
  return join(directory, `${id.slice(0, 24)}.qmp`); // a socket's path is short
}

export interface HalfMade {
  /** Directories of Boxes, and namespaces. */
  readonly paths: readonly string[];
  /** Of the Boxes that have a record. */
  readonly ids: ReadonlySet<string>;
}

export async function halfMadeIn(state: string): Promise<HalfMade> {
  const directory = templatesDirectory(state);
  const boxes = (await namesIn(boxesDirectory(directory))).map((name) => join(boxesDirectory(directory), name));
  const records = await Promise.all(boxes.map((path) => readBoxRecord(boxDirectoryAt(path)).catch(() => undefined)));
  const netns = (await namesIn(directory)).filter((name) => name.endsWith(netnsSuffix));
  return {
    paths: [...boxes, ...netns.map((name) => join(directory, name))],
    ids: new Set(records.flatMap((record) => record?.id ?? [])),
  };
}

/** `files`: the directory of templates that what was written of them lies in. */
export async function removeHalfMade(state: string, deps: DiscardDeps, files?: string): Promise<void> {
  const directory = templatesDirectory(state);
  for (const name of await namesIn(boxesDirectory(directory))) {
    const box = boxDirectoryAt(join(boxesDirectory(directory), name));
    const record = await readBoxRecord(box).catch(() => undefined);
    if (record === undefined) await removeBoxDirectory(box, deps.native);
    else await discardBox(deps, record.id, box, undefined, AbortSignal.timeout(discardLimitMs));
  }
  for (const name of await namesIn(directory)) {
    if (/\.(?:part|qmp)$/.test(name)) await rm(join(directory, name), { force: true });
    if (!name.endsWith(netnsSuffix)) continue;
    if (files !== undefined) await rm(partIn(files, name.slice(0, -netnsSuffix.length)), { force: true });
    await deps.native.removeNetns(join(directory, name));
  }
}
