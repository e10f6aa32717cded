import { existsSync } from "node:fs";
import { readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { monotonicMs } from "../../base/clock.js";
import { errnoOf, isNotFound, RuntimeError } from "../../base/errors.js";
import type { BoxId } from "../../base/ids.js";
import { isThere } from "../../base/is-there.js";
import { sleep } from "../../base/stage.js";
import { isBoxGroup } from "./plan.js";

const removeRetryMs = 20;
const managerRemovesMs = 5_000;

/**
 * Kills what is left in a Box's groups and removes them; parents go only when they are empty. Success for groups that
 * are not there. Throws when a group of the Box stays in use until the signal aborts.
 */
export async function removeBoxCgroup(folders: readonly string[], id: BoxId, signal: AbortSignal): Promise<void> {
  const own = folders.filter((folder) => isBoxGroup(folder, id));
  for (const folder of own) await killGroup(folder);
  const scopes = own.filter((folder) => folder.endsWith(".scope"));
  if (scopes.length > 0) await goneByThemselves(scopes, signal);
  for (const folder of own) await removeGroup(folder, signal);
  for (const folder of folders) {
    if (!own.includes(folder)) await rmdir(folder).catch(() => undefined); // another Box may live there
  }
}

/**
 * systemd removes a scope's groups when it has seen them empty, and misses that when they go before it has looked: the
 * unit would stay. Where it does not (v1 hierarchies that are not its own, a systemd that hangs) they are removed by hand.
 */
async function goneByThemselves(folders: readonly string[], signal: AbortSignal): Promise<void> {
  const endMs = monotonicMs() + managerRemovesMs;
  while (monotonicMs() < endMs && !signal.aborted) {
    const there = await Promise.all(folders.map(isThere));
    const watched = folders.filter((folder, index) => there[index] === true && isWatched(folder));
    if (watched.length === 0) return;
    await sleep(removeRetryMs, signal).catch(() => undefined);
  }
}

/** Of cgroup v2, or of systemd's own hierarchy of v1: by the last folder's files, as the mounts may have changed. */
function isWatched(folder: string): boolean {
  return existsSync(join(folder, "cgroup.events")) || folder.startsWith("/sys/fs/cgroup/systemd/");
}

async function killGroup(folder: string): Promise<void> {
  try {
    await writeFile(join(folder, "cgroup.kill"), "1", { flag: "r+" });
    return;
  } catch {
    // v1, or before Linux 5.14: one by one
  }
  const text = await readFile(join(folder, "cgroup.procs"), "utf8").catch(() => "");
  for (const pid of text.split("\n").map(Number)) {
    if (Number.isInteger(pid) && pid > 1) killPid(pid);
  }
}

function killPid(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (thrown) {
    if (errnoOf(thrown) !== "ESRCH") throw thrown;
  }
}

async function removeGroup(folder: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    try {
      await removeWithSubGroups(folder);
      return;
    } catch (thrown) {
      if (isNotFound(thrown) && !(await isThere(folder))) return;
      if (errnoOf(thrown) !== "EBUSY" && !isNotFound(thrown)) throw thrown; // systemd removes its scopes' groups too
      if (signal.aborted) throw new RuntimeError("internal", `cgroup ${folder} is still in use`, { cause: thrown });
    }
    await sleep(removeRetryMs, signal).catch(() => undefined);
    await killGroup(folder);
  }
}

/** rmdir takes no group that has others below it. */
async function removeWithSubGroups(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeWithSubGroups(join(folder, entry.name));
  }
  await rmdir(folder);
}
