import { constants } from "node:fs";
import { stat } from "node:fs/promises";
import { createConnection } from "node:net";
import { join } from "node:path";
import { isUsable } from "../../base/is-there.js";
import { namesIn } from "../../base/names-in.js";
import type { Config } from "../../config/config.js";
import { formerSandboxesDirectory, netnsDirectory, sandboxesDirectory } from "../../config/paths.js";
import { boxesDirectory, boxDirectoryAt, readBoxRecord, type BoxRecord } from "../../vmm/box-directory.js";
import { emptyGroupsBeside, ownParentsIn } from "../../vmm/cgroup/empty-groups.js";
import { areas } from "../../vmm/share/layout.js";
import { readMountinfo } from "../../base/mountinfo.js";
import type { BoxHandle } from "../../vmm/box.js";
import { halfMadeIn, type HalfMade } from "../../vmm/templates/half-made.js";
import { boxProcesses, startTimeOf, type BoxProcess } from "./processes.js";
import { shareMountsOf } from "./share-mounts.js";

/** What of the runtime's things is on this machine now. */
export interface Found {
  /** Somebody serves CRI on the configured socket: what is half made may be under way. */
  readonly served: boolean;
  /** Directories of Boxes by name, and the record in each that has one. */
  readonly boxDirectories: ReadonlyMap<string, BoxRecord | undefined>;
  /** Every mount point below the state directory, with those that the host does not see but a file server. */
  readonly mounts: readonly string[];
  /** Entries of shares and snapshots that may be of a creation under way, whose container has no record yet. */
  readonly young: ReadonlySet<string>;
  /** What a template is being made of. */
  readonly halfMade: HalfMade;
  /** Names of network namespaces. */
  readonly netns: readonly string[];
  readonly podDirectories: readonly string[];
  /** Keys of containers' writable layers. */
  readonly snapshots: readonly string[];
  readonly processes: readonly BoxProcess[];
  /** cgroups that are named as a Box's would be, stand where Boxes' are, and have nothing in them. */
  readonly emptyCgroups: readonly string[];
  /** Start time of each process that a record names, where it lives. */
  readonly startTimes: ReadonlyMap<number, bigint>;
  /** Those of the cgroups that records name which are there. */
  readonly cgroupsThere: ReadonlySet<string>;
}

/** What the records name, to be looked up one by one. */
export interface Named {
  readonly boxes: readonly BoxHandle[];
  readonly pids: readonly number[];
  readonly cgroups: readonly string[];
}

/** A creation has ended after this, one way or the other. */
const creationMs = 180_000;

export async function lookAround(config: Config, named: Named): Promise<Found> {
  const mounts = await readMountinfo();
  const served = await isServed(config.socketPath);
  const boxDirectories = await boxDirectoriesOf(config.state);
  const ready = [...boxDirectories.values()].flatMap((record) => (record?.pool === undefined ? [] : record.processes));
  const settledMs = served ? Date.now() - creationMs : Number.POSITIVE_INFINITY;
  const emptyCgroups = await emptyGroupsBeside([...ownParentsIn(mounts), ...named.cgroups]);
  return {
    served,
    boxDirectories,
    mounts: [
      ...mounts.map(({ target }) => target),
      ...(await Promise.all(named.boxes.map(shareMountsOf))).flat(),
    ].filter((target) => target.startsWith(`${config.state}/`)),
    halfMade: await halfMadeIn(config.state), // after the groups, which go before what names them
    young: await youngOf(config, settledMs),
    netns: await namesIn(netnsDirectory(config)),
    podDirectories: [
      ...(await namesIn(sandboxesDirectory(config))),
      ...(await namesIn(formerSandboxesDirectory(config))),
    ],
    snapshots: await namesIn(snapshotsDirectory(config)),
    processes: await boxProcesses(config.state, mounts),
    emptyCgroups,
    startTimes: await startTimesOf([...named.pids, ...ready.map(({ pid }) => pid)]),
    cgroupsThere: await thoseThere(named.cgroups),
  };
}

function snapshotsDirectory({ root }: Config): string {
  return join(root, "images", "containers");
}

async function youngOf(config: Config, settledMs: number): Promise<Set<string>> {
  const young = new Set<string>();
  const note = async (path: string, name: string): Promise<void> => {
    const stats = await stat(path).catch(() => undefined);
    if (stats !== undefined && stats.ctimeMs > settledMs) young.add(name);
  };
  for (const key of await namesIn(snapshotsDirectory(config))) await note(join(snapshotsDirectory(config), key), key);
  for (const name of await namesIn(boxesDirectory(config.state))) {
    const { layout, share } = boxDirectoryAt(join(boxesDirectory(config.state), name));
    for (const area of areas) {
      for (const entry of await namesIn(join(layout, area))) {
        await note(join(layout, area, entry), join(share, area, entry));
      }
    }
  }
  return young;
}

async function isServed(socketPath: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = createConnection(socketPath);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => {
      resolve(false);
    });
  });
}

async function boxDirectoriesOf(state: string): Promise<Map<string, BoxRecord | undefined>> {
  const directories = new Map<string, BoxRecord | undefined>();
  for (const name of await namesIn(boxesDirectory(state))) {
    const directory = boxDirectoryAt(join(boxesDirectory(state), name));
    directories.set(name, await readBoxRecord(directory).catch(() => undefined));
  }
  return directories;
}

async function startTimesOf(pids: readonly number[]): Promise<Map<number, bigint>> {
  const found = new Map<number, bigint>();
  for (const pid of pids) {
    const startTime = await startTimeOf(pid);
    if (startTime !== undefined) found.set(pid, startTime);
  }
  return found;
}

async function thoseThere(paths: readonly string[]): Promise<Set<string>> {
  const there = new Set<string>();
  for (const path of paths) {
    if (await isUsable(path, constants.F_OK)) there.add(path);
  }
  return there;
}
