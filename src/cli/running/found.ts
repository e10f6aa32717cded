import { constants } from "node:fs";
import { stat } from "node:fs/promises";
import { createConnection } from "node:net";
import { join } from "node:path";
import { isUsable } from "../../base/is-there.js";
import { namesIn } from "../../base/names-in.js";
import type { Config } from "../../config/config.js";
import { formerSandboxesFolder, netnsFolder, sandboxesFolder } from "../../config/paths.js";
import { boxesFolder, boxFolderAt, readBoxRecord, type BoxRecord } from "../../vmm/box-folder.js";
import { cgroupHierarchies } from "../../base/cgroups.js";
import { ownCgroupParent } from "../../vmm/cgroup/plan.js";
import { areas } from "../../vmm/share/layout.js";
import { ownSlice, slicePath } from "../../vmm/systemd/slice-path.js";
import { readMountinfo } from "../../base/mountinfo.js";
import type { BoxHandle } from "../../vmm/box.js";
import { emptyGroupsBeside } from "./cgroups.js";
import { boxProcesses, startTimeOf, type BoxProcess } from "./processes.js";
import { shareMountsOf } from "./share-mounts.js";

/** What of the runtime's things is on this machine now. */
export interface Found {
  /** Somebody serves CRI on the configured socket: what is half made may be under way. */
  readonly served: boolean;
  /** Folders of Boxes by name, and the record in each that has one. */
  readonly boxFolders: ReadonlyMap<string, BoxRecord | undefined>;
  /** Every mount point below the state folder, with those that the host does not see but a file server. */
  readonly mounts: readonly string[];
  /** Entries of shares and snapshots that may be of a creation under way, whose container has no record yet. */
  readonly young: ReadonlySet<string>;
  /** Names of network namespaces. */
  readonly netns: readonly string[];
  readonly podFolders: readonly string[];
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
  const own = [ownCgroupParent, slicePath(ownSlice)];
  const parents = cgroupHierarchies(mounts).flatMap(({ mountPoint }) => own.map((path) => join(mountPoint, path)));
  const served = await isServed(config.socketPath);
  const settledMs = served ? Date.now() - creationMs : Number.POSITIVE_INFINITY;
  return {
    served,
    boxFolders: await boxFoldersOf(config.state),
    mounts: [
      ...mounts.map(({ target }) => target),
      ...(await Promise.all(named.boxes.map(shareMountsOf))).flat(),
    ].filter((target) => target.startsWith(`${config.state}/`)),
    young: await youngOf(config, settledMs),
    netns: await namesIn(netnsFolder(config)),
    podFolders: [...(await namesIn(sandboxesFolder(config))), ...(await namesIn(formerSandboxesFolder(config)))],
    snapshots: await namesIn(snapshotsFolder(config)),
    processes: await boxProcesses(config.state, mounts),
    emptyCgroups: await emptyGroupsBeside([...parents, ...named.cgroups]),
    startTimes: await startTimesOf(named.pids),
    cgroupsThere: await thoseThere(named.cgroups),
  };
}

function snapshotsFolder({ root }: Config): string {
  return join(root, "images", "containers");
}

async function youngOf(config: Config, settledMs: number): Promise<Set<string>> {
  const young = new Set<string>();
  const note = async (path: string, name: string): Promise<void> => {
    const stats = await stat(path).catch(() => undefined);
    if (stats !== undefined && stats.ctimeMs > settledMs) young.add(name);
  };
  for (const key of await namesIn(snapshotsFolder(config))) await note(join(snapshotsFolder(config), key), key);
  for (const name of await namesIn(boxesFolder(config.state))) {
    const { layout, share } = boxFolderAt(join(boxesFolder(config.state), name));
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

async function boxFoldersOf(state: string): Promise<Map<string, BoxRecord | undefined>> {
  const folders = new Map<string, BoxRecord | undefined>();
  for (const name of await namesIn(boxesFolder(state))) {
    const folder = boxFolderAt(join(boxesFolder(state), name));
    folders.set(name, await readBoxRecord(folder).catch(() => undefined));
  }
  return folders;
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
