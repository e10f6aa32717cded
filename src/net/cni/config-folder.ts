import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, isNotFound, messageOf, RuntimeError } from "../../base/errors.js";
import { parseNetworkFile, parsePlugin, type NetworkList, type PluginConfig } from "./network-list.js";

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
  for (const file of await filesIn(folder, /\.(?:conflist|conf|json)$/)) {
    try {
      return { chosen: { file, list: await readNetwork(folder, file) }, unusable };
    } catch (thrown) {
      unusable.push({ file, reason: messageOf(thrown) });
    }
  }
  return { chosen: undefined, unusable };
}

/** The file's plugins, then those of the folder that has the network's name, where that is not turned off. */
async function readNetwork(folder: string, file: string): Promise<NetworkList> {
  const { list, hasFolder } = parseNetworkFile(await readFile(join(folder, file), "utf8"));
  if (!hasFolder) return list;
  const more: PluginConfig[] = [];
  for (const name of await filesIn(join(folder, list.name), /\.conf$/)) {
    try {
      more.push(parsePlugin(await readFile(join(folder, list.name, name), "utf8")));
    } catch (cause) {
      throw new RuntimeError("invalidArgument", `${list.name}/${name}: ${messageOf(cause)}`, { cause });
    }
  }
  const plugins = [...list.plugins, ...more];
  if (plugins.length > 0) return { ...list, plugins };
  throw new RuntimeError("invalidArgument", `plugins: it lists none, and none is in ${list.name}/`);
}

async function filesIn(folder: string, wanted: RegExp): Promise<string[]> {
  try {
    return (await readdir(folder)).filter((name) => !name.startsWith(".") && wanted.test(name)).sort();
  } catch (thrown) {
    if (isNotFound(thrown) || errnoOf(thrown) === "ENOTDIR") return [];
    throw thrown;
  }
}
