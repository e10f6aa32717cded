import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { RuntimeError, isNotFound } from "../base/errors.js";
import { boxId, type BoxId } from "../base/ids.js";
import { decodeRecord, writeRecord } from "../base/record-file.js";
import type { BoxHandle } from "./box.js";

/** Digits of the id that name a Box's directory: socket paths in it must stay below 108 bytes (unix(7)). */
const nameDigits = 24;

/** The longest name below a state directory, with its slashes: "/boxes/<24 digits>/sock/agent.sock". */
const longestSocketSuffix = "/boxes/".length + nameDigits + "/sock/agent.sock".length;

/** sun_path of unix(7), less its closing NUL. */
const maxSocketPath = 107;

/** Bytes that a state directory's path may have. */
export const longestState = maxSocketPath - longestSocketSuffix;

/** Where the parts of one Box lie. */
export interface BoxDirectory {
  readonly path: string;
  /** Plain directory with the top of the share; written through this path only. */
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

/** Root of a pod's user namespace passes it on the way to what is its own; each directory below it is closed by itself. */
export const boxesMode = 0o711;

export function boxesDirectory(state: string): string {
  return join(state, "boxes");
}

export function boxDirectoryOf(state: string, id: BoxId): BoxDirectory {
  return boxDirectoryAt(join(boxesDirectory(state), id.slice(0, nameDigits)));
}

export function boxDirectoryAt(path: string): BoxDirectory {
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
  /** It is nobody's yet, and up. Absent: it is being made, or is a pod's. */
  readonly pool?: PoolMark | undefined;
}

/** What the next daemon needs to know of a Box that is ready for a pod (docs/adr/0134). */
export interface PoolMark {
  /** Everything that it depends on: one with another key is no good any more. */
  readonly key: string;
  readonly sinceNs: bigint;
  /** Of its handle. */
  readonly serverRoot?: number | undefined;
  readonly deviceMac?: string | undefined;
}

const recordSchema = z.object({
  version: z.literal(1),
  id: z.string().transform((raw) => boxId(raw)),
  driver: z.enum(["krun", "qemu", "native"]),
  processes: z.array(
    z.object({ role: z.enum(["vmm", "fs", "agent"]), pid: z.number().int().positive(), startTime: z.bigint() }),
  ),
  cgroups: z.array(z.string().startsWith("/")),
  pool: z
    .object({
      key: z.string(),
      sinceNs: z.bigint(),
      serverRoot: z.int().positive().optional(),
      deviceMac: z.string().optional(),
    })
    .optional(),
});

export async function writeBoxRecord(directory: BoxDirectory, record: BoxRecord): Promise<void> {
  await writeRecord(directory.record, record);
}

/** Undefined when there is none. `internal` when it can't be read as a record. */
export async function readBoxRecord(directory: BoxDirectory): Promise<BoxRecord | undefined> {
  let text: string;
  try {
    text = await readFile(directory.record, "utf8");
  } catch (thrown) {
    if (isNotFound(thrown)) return undefined;
    throw thrown;
  }
  try {
    return recordSchema.parse(decodeRecord(text));
  } catch (cause) {
    throw new RuntimeError("internal", `${directory.record} is not a Box's record`, { cause });
  }
}
