import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, isNotFound, messageOf } from "../../base/errors.js";
import { parseNetworkList, type NetworkList } from "./network-list.js";

/** What a configuration folder says now. */
export interface FolderState {
  /** Of the first valid file in lexical order, as kubelet's users know it; undefined when there is none. */
  readonly chosen: { readonly file: string; readonly list: NetworkList } | undefined;
  /** Files before it that could not be used. */
  readonly unusable: readonly { readonly file: string; readonly reason: string }[];
}

/** Reads it anew each time: a few small files, and no watch that could miss a folder that comes, goes or is replaced. */
export async function readConfigFolder(folder: string): Promise<FolderState> {
  const unusable: { file: string; reason: string }[] = [];
  for (const file of await configFiles(folder)) {
    try {
      const list = parseNetworkList(await readFile(join(folder, file), "utf8"));
      return { chosen: { file, list }, unusable };
    } catch (thrown) {
      unusable.push({ file, reason: messageOf(thrown) });
    }
  }
  return { chosen: undefined, unusable };
}

async function configFiles(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).filter((name) => /^[^.].*\.(?:conflist|conf|json)$/.test(name)).sort();
  } catch (thrown) {
    if (isNotFound(thrown) || errnoOf(thrown) === "ENOTDIR") return [];
    throw thrown;
  }
}
