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
export async function removeBoxCgroup(directories: readonly string[], id: BoxId, signal: AbortSignal): Promise<void> {
  const own = directories.filter((directory) => isBoxGroup(directory, id));
  for (const directory of own) await killGroup(directory);
  const scopes = own.filter((directory) => directory.endsWith(".scope"));
  if (scopes.length > 0) await goneByThemselves(scopes, signal);
  for (const directory of own) await removeGroup(directory, signal);
  for (const directory of directories) {
    if (!own.includes(directory)) await rmdir(directory).catch(() => undefined); // another Box may live there
  }
}

/**
 * systemd removes a scope's groups when it has seen them empty, and misses that when they go before it has looked: the
 * unit would stay. Where it does not (v1 hierarchies that are not its own, a systemd that hangs) they are removed by hand.
 */
async function goneByThemselves(directories: readonly string[], signal: AbortSignal): Promise<void> {
  const endMs = monotonicMs() + managerRemovesMs;
  while (monotonicMs() < endMs && !signal.aborted) {
    const there = await Promise.all(directories.map(isThere));
    const watched = directories.filter((directory, index) => there[index] === true && isWatched(directory));
    if (watched.length === 0) return;
    await sleep(removeRetryMs, signal).catch(() => undefined);
  }
}

/** Of cgroup v2, or of systemd's own hierarchy of v1: by the last directory's files, as the mounts may have changed. */
function isWatched(directory: string): boolean {
  return existsSync(join(directory, "cgroup.events")) || directory.startsWith("/sys/fs/cgroup/systemd/");
}

async function killGroup(directory: string): Promise<void> {
  try {
    await writeFile(join(directory, "cgroup.kill"), "1", { flag: "r+" });
    return;
  } catch {
    // v1, or before Linux 5.14: one by one
  }
  const text = await readFile(join(directory, "cgroup.procs"), "utf8").catch(() => "");
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

async function removeGroup(directory: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    try {
      await removeWithSubGroups(directory);
      return;
    } catch (thrown) {
      if (isNotFound(thrown) && !(await isThere(directory))) return;
      if (errnoOf(thrown) !== "EBUSY" && !isNotFound(thrown)) throw thrown; // systemd removes its scopes' groups too
      if (signal.aborted) throw new RuntimeError("internal", `cgroup ${directory} is still in use`, { cause: thrown });
    }
    await sleep(removeRetryMs, signal).catch(() => undefined);
    await killGroup(directory);
  }
}

/** rmdir takes no group that has others below it. */
async function removeWithSubGroups(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeWithSubGroups(join(directory, entry.name));
  }
  await rmdir(directory);
}
