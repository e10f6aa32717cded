import { closedDirectory } from "../../base/closed-directory.js";
import { stage } from "../../base/stage.js";
import { netnsDirectory, netnsPath } from "../../config/paths.js";
import type { BoxSpec } from "../box.js";
import { boxDirectoryOf, writeBoxRecord } from "../box-directory.js";
import { poolParentOf, type CgroupSettings } from "../cgroup/plan.js";
import type { RunningBox } from "../running-box.js";
import type { ClassKeys } from "./class-keys.js";
import type { Entry } from "./entries.js";
import { warmUp, type WarmUpParts } from "./warm-up.js";

export interface ReadyMaker {
  /** From a template or by a boot, beside whatever boots. Undoes itself. */
  bring(spec: BoxSpec, signal: AbortSignal): Promise<RunningBox>;
}

interface ReadyParts extends WarmUpParts {
  readonly state: string;
  readonly cgroups: CgroupSettings;
  readonly maker: ReadyMaker;
  readonly keys: ClassKeys;
  /** Limit of a step that only makes something on the host. */
  readonly stepMs: number;
}

/** The first that the host's kernel ends when memory runs out: nobody misses it. */
const oomScore = 1000;

/** Makes a Box that waits for its pod, with its namespace and the mark in its record. Who calls it takes all of that away when it fails. */
export async function makeReady(
  { id, of, sinceNs }: Entry,
  parts: ReadyParts,
  signal: AbortSignal,
): Promise<RunningBox> {
  const { state, tap, maker, keys, stepMs } = parts;
  const { driver, vcpus, memoryMib } = of;
  const path = netnsPath({ state }, id);
  const key = await stage("look at programs", stepMs, signal, () => keys.of(of));
  await stage("make netns of ready box", stepMs, signal, () => makeNetns(path, parts));
  const cgroupParent = poolParentOf(parts.cgroups.manager);
  const box = await maker.bring({ id, vcpus, memoryMib, netnsPath: path, tap, driver, cgroupParent, oomScore }, signal);
  await warmUp(box, parts, signal);
  const { serverRoot, deviceMac, processes, cgroups } = box.handle;
  const pool = { key, sinceNs, serverRoot, deviceMac };
  await stage("record ready box", stepMs, signal, () =>
    writeBoxRecord(boxDirectoryOf(state, id), { version: 1, id, driver, processes, cgroups, pool }),
  );
  return box;
}

async function makeNetns(path: string, { native, state, tap }: ReadyParts): Promise<void> {
  await closedDirectory(netnsDirectory({ state }));
  await native.createNetns(path);
  if (tap !== null) await native.createTap(path, tap);
}
