import { join } from "node:path";
import type { SandboxId } from "../base/ids.js";
import type { Config } from "./config.js";

/** Digits of an id in names that have to fit in a socket's path (108 bytes, unix(7)). */
export const shortNameDigits = 24;

/** The network namespace of a sandbox, a bind mount made by the addon. */
export function netnsPath(config: Config, id: SandboxId): string {
  return join(netnsFolder(config), id.slice(0, shortNameDigits));
}

export function netnsFolder(config: Config): string {
  return join(config.state, "netns");
}

/** Where a sandbox's resolv.conf, hosts and hostname are: a file system of its own, in memory (docs/adr/0078). */
export function sandboxFolder(config: Config, id: SandboxId): string {
  return join(sandboxesFolder(config), id);
}

export function sandboxesFolder(config: Config): string {
  return join(config.state, "sandboxes");
}

/** Where daemons had them before, on the disk: pods of theirs that live on still do. */
export function formerSandboxesFolder(config: Config): string {
  return join(config.root, "sandboxes");
}
