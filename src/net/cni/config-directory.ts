import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, isNotFound, messageOf, RuntimeError } from "../../base/errors.js";
import { parseNetworkFile, parsePlugin, type NetworkList, type PluginConfig } from "./network-list.js";

/** What a configuration directory says now. */
export interface DirectoryState {
  /** Of the first valid file in lexical order, as kubelet's users know it; undefined when there is none. */
  readonly chosen: { readonly file: string; readonly list: NetworkList } | undefined;
  /** Files before it that could not be used. */
  readonly unusable: readonly { readonly file: string; readonly reason: string }[];
}

/** Reads it anew each time: a few small files, and no watch that could miss a directory that comes, goes or is replaced. */
export async function readConfigDirectory(directory: string): Promise<DirectoryState> {
  const unusable: { file: string; reason: string }[] = [];
  for (const file of await filesIn(directory, /\.(?:conflist|conf|json)$/)) {
    try {
      return { chosen: { file, list: await readNetwork(directory, file) }, unusable };
    } catch (thrown) {
      unusable.push({ file, reason: messageOf(thrown) });
    }
  }
  return { chosen: undefined, unusable };
}

/** The file's plugins, then those of the directory that has the network's name, where that is not turned off. */
async function readNetwork(directory: string, file: string): Promise<NetworkList> {
  const { list, hasDirectory } = parseNetworkFile(await readFile(join(directory, file), "utf8"));
  if (!hasDirectory) return list;
  const more: PluginConfig[] = [];
  for (const name of await filesIn(join(directory, list.name), /\.conf$/)) {
    try {
      more.push(parsePlugin(await readFile(join(directory, list.name, name), "utf8")));
    } catch (cause) {
      throw new RuntimeError("invalidArgument", `${list.name}/${name}: ${messageOf(cause)}`, { cause });
    }
  }
  const plugins = [...list.plugins, ...more];
  if (plugins.length > 0) return { ...list, plugins };
  throw new RuntimeError("invalidArgument", `plugins: it lists none, and none is in ${list.name}/`);
}

async function filesIn(directory: string, wanted: RegExp): Promise<string[]> {
  try {
    return (await readdir(directory)).filter((name) => !name.startsWith(".") && wanted.test(name)).sort();
  } catch (thrown) {
    if (isNotFound(thrown) || errnoOf(thrown) === "ENOTDIR") return [];
    throw thrown;
  }
}
