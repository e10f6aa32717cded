import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, isNotFound, messageOf, RuntimeError } from "../../base/errors.js";
import { parseHostsFile, plainHost, type HostsFile } from "./hosts-file.js";

const fileName = "hosts.toml";

/**
 * What is said about a registry now, in the first of the directories that has one for it: hosts.toml, else the certificates
 * there as Docker lays them out. The files are read anew each time: a change needs no restart.
 */
export async function readHosts(hostsDirs: readonly string[], host: string): Promise<HostsFile> {
  for (const dir of hostsDirs) {
    for (const name of directoryNames(host)) {
      const directory = join(dir, name);
      if (await exists(directory)) return await readDirectory(directory);
    }
  }
  return { hosts: [plainHost], unknownKeys: [] };
}

/** "registry.example_5000_" for file systems where a colon is trouble, then the plain name, then everybody's. */
export function directoryNames(host: string): string[] {
  const colon = host.lastIndexOf(":");
  const escaped = colon > 0 ? [`${host.slice(0, colon)}_${host.slice(colon + 1)}_`] : [];
  return [...escaped, host, "_default"];
}

async function readDirectory(directory: string): Promise<HostsFile> {
  const path = join(directory, fileName);
  const text = await orNothing(readFile(path, "utf8"), path);
  if (text !== undefined && text !== "") return parseHostsFile(text, path);
  return { hosts: [{ ...plainHost, ...(await certificates(directory)) }], unknownKeys: [] };
}

/** Docker's certs.d: "*.crt" are authorities, "*.cert" client certificates, with the key in a ".key" of that name. */
async function certificates(directory: string): Promise<Pick<typeof plainHost, "caFiles" | "clientPairs">> {
  const names = (await orNothing(readdir(directory), directory)) ?? [];
  return {
    caFiles: names.filter((name) => name.endsWith(".crt")).map((name) => join(directory, name)),
    clientPairs: names
      .filter((name) => name.endsWith(".cert"))
      .map((name) => {
        const key = name.replace(/\.cert$/, ".key");
        return { certFile: join(directory, name), keyFile: join(directory, names.includes(key) ? key : name) };
      }),
  };
}

async function exists(path: string): Promise<boolean> {
  return (await orNothing(stat(path), path)) !== undefined;
}

async function orNothing<T>(reading: Promise<T>, path: string): Promise<T | undefined> {
  try {
    return await reading;
  } catch (thrown) {
    if (isNotFound(thrown) || errnoOf(thrown) === "ENOTDIR") return undefined;
    throw new RuntimeError("invalidArgument", `${path} can't be read: ${messageOf(thrown)}`, { cause: thrown });
  }
}
