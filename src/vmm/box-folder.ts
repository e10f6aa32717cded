import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { RuntimeError, isNotFound } from "../base/errors.js";
import { boxId, type BoxId } from "../base/ids.js";
import { decodeRecord, writeRecord } from "../base/record-file.js";
import type { BoxHandle } from "./box.js";

/** Digits of the id that name a Box's folder: socket paths in it must stay below 108 bytes (unix(7)). */
const nameDigits = 24;

/** The longest name below a state folder, with its slashes: "/boxes/<24 digits>/sock/agent.sock". */
export const longestSocketSuffix = "/boxes/".length + nameDigits + "/sock/agent.sock".length;

/** Where the parts of one Box lie. */
export interface BoxFolder {
  readonly path: string;
  /** Plain folder with the top of the share; written through this path only. */
  readonly layout: string;
  /** Read-only, shared bind mount of `layout`: what the file server serves, and where entries are mounted. */
  readonly share: string;
  readonly record: string;
  /** Small tmpfs: what the guest can make grow has an end. */
  readonly logs: string;
  readonly console: string;
  /** All that a jailed VMM may write to besides the share. */
  readonly sockets: string;
  readonly agentSocket: string;
  readonly readySocket: string;
  readonly fsSocket: string;
  readonly launcherConfig: string;
  readonly vmmLog: string;
  readonly fsLog: string;
  /** What an agent on the host has to say. */
  readonly agentLog: string;
  /** The /dev/shm of a pod of the host. */
  readonly shm: string;
}

/** Root of a pod's user namespace passes it on the way to what is its own; each folder below it is closed by itself. */
export const boxesMode = 0o711;

export function boxesFolder(state: string): string {
  return join(state, "boxes");
}

export function boxFolderOf(state: string, id: BoxId): BoxFolder {
  return boxFolderAt(join(boxesFolder(state), id.slice(0, nameDigits)));
}

export function boxFolderAt(path: string): BoxFolder {
  return {
    path,
    layout: join(path, "layout"),
    share: join(path, "share"),
    record: join(path, "box.json"),
    logs: join(path, "log"),
    console: join(path, "log", "console"),
    sockets: join(path, "sock"),
    agentSocket: join(path, "sock", "agent.sock"),
    readySocket: join(path, "sock", "ready.sock"),
    fsSocket: join(path, "fs.sock"),
    launcherConfig: join(path, "launcher.conf"),
    vmmLog: join(path, "log", "vmm"),
    fsLog: join(path, "log", "fs"),
    agentLog: join(path, "log", "agent"),
    shm: join(path, "shm"),
  };
}

/**
 * `box.json`: the trail of a Box that is being made or runs. It lets `discard` find processes and cgroups when the
 * daemon died before the pod's own record knew them.
 */
export interface BoxRecord {
  readonly version: 1;
  readonly id: BoxId;
  readonly driver: BoxHandle["driver"];
  readonly processes: BoxHandle["processes"];
  readonly cgroups: readonly string[];
}

const recordSchema = z.object({
  version: z.literal(1),
  id: z.string().transform((raw) => boxId(raw)),
  driver: z.enum(["krun", "qemu", "native"]),
  processes: z.array(
    z.object({ role: z.enum(["vmm", "fs", "agent"]), pid: z.number().int().positive(), startTime: z.bigint() }),
  ),
  cgroups: z.array(z.string().startsWith("/")),
});

export async function writeBoxRecord(folder: BoxFolder, record: BoxRecord): Promise<void> {
  await writeRecord(folder.record, record);
}

/** Undefined when there is none. `internal` when it can't be read as a record. */
export async function readBoxRecord(folder: BoxFolder): Promise<BoxRecord | undefined> {
  let text: string;
  try {
    text = await readFile(folder.record, "utf8");
  } catch (thrown) {
    if (isNotFound(thrown)) return undefined;
    throw thrown;
  }
  try {
    return recordSchema.parse(decodeRecord(text));
  } catch (cause) {
    throw new RuntimeError("internal", `${folder.record} is not a Box's record`, { cause });
  }
}
