import { join } from "node:path";
import type { PodId } from "../base/ids.js";
import type { Config } from "./config.js";

/** Digits of an id in names that have to fit in a socket's path (108 bytes, unix(7)). */
export const shortNameDigits = 24;

/** The network namespace of a sandbox, a bind mount made by the addon. */
export function netnsPath(config: Pick<Config, "state">, id: PodId): string {
  return join(netnsDirectory(config), id.slice(0, shortNameDigits));
}

export function netnsDirectory(config: Pick<Config, "state">): string {
  return join(config.state, "netns");
}

/** Where a sandbox's resolv.conf, hosts and hostname are: a file system of its own, in memory (docs/adr/0078). */
export function sandboxDirectory(config: Config, id: PodId): string {
  return join(sandboxesDirectory(config), id);
}

export function sandboxesDirectory(config: Config): string {
  return join(config.state, "sandboxes");
}

/** Where daemons had them before, on the disk: pods of theirs that live on still do. */
export function formerSandboxesDirectory(config: Config): string {
  return join(config.root, "sandboxes");
}
