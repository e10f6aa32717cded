/** All that a daemon holds at rest, told by the kernel and by the probe in it; and what of it has become more. */
import { readdir, readFile, readlink } from "node:fs/promises";
import { askProbe } from "./samples.js";

export interface Holdings {
  /** Things of which none may be left: descriptors by their kind, watches, threads, timers, handles, entries of maps. */
  readonly kept: ReadonlyMap<string, number>;
  /** Objects by the name of their class: caches and the engine's own work move some of them by a few. */
  readonly objects: ReadonlyMap<string, number>;
  /** The largest maps, and the last keys of each: where the entries are that are left. */
  readonly largest: readonly string[];
  readonly rssMib: number;
  readonly heapMib: number;
}

const mib = 1024 * 1024;

export async function holdingsOf(pid: number, probe: string): Promise<Holdings> {
  const { classes, entries, largest, resources, rss, heapUsed } = await askProbe(pid, probe);
  const { Timeout: _, Immediate: __, ...handles } = resources;
  const kept = await kernelsView(pid);
  for (const [name, count] of Object.entries(handles)) kept.set(`handle ${name}`, count);
  for (const [name, count] of Object.entries(entries)) kept.set(`entries of ${name}`, count);
  // Those that keep no process alive are no resources to Node, and are counted as objects: there is one for each timer.
  kept.set("timers", classes["Timeout"] ?? 0);
  return {
    ...{ kept, objects: new Map(Object.entries(classes)), rssMib: rss / mib, heapMib: heapUsed / mib },
    largest: largest.map(({ size, keys }) => `map of ${String(size)}, the last ${keys.join(", ")}`),
  };
}

async function kernelsView(pid: number): Promise<Map<string, number>> {
  const proc = `/proc/${String(pid)}`;
  const found = new Map<string, number>();
  const add = (name: string, count: number): void => void found.set(name, (found.get(name) ?? 0) + count);
  add("threads", (await readdir(`${proc}/task`)).length);
  for (const fd of await readdir(`${proc}/fd`)) {
    const target = await readlink(`${proc}/fd/${fd}`).catch(() => undefined);
    if (target === undefined) continue;
    add(`descriptor ${target.replace(/\[\d+\]$/, "")}`, 1);
    if (!target.includes("inotify")) continue;
    const lines = (await readFile(`${proc}/fdinfo/${fd}`, "utf8").catch(() => "")).split("\n");
    add("watches of inotify", lines.filter((line) => line.startsWith("inotify ")).length);
  }
  return found;
}

/** `objects`: from how many more of one class on it is told. Empty when nothing is left. */
export function leftSince(before: Holdings, now: Holdings, objects: number): string[] {
  const left = [...grown(before.kept, now.kept, 1), ...grown(before.objects, now.objects, objects)];
  return left.length === 0 ? left : [...left, ...now.largest.filter((map) => !before.largest.includes(map))];
}

function grown(before: ReadonlyMap<string, number>, now: ReadonlyMap<string, number>, least: number): string[] {
  return [...now]
    .map(([name, count]) => ({ name, was: before.get(name) ?? 0, count }))
    .filter(({ was, count }) => count - was >= least)
    .map(({ name, was, count }) => `${name}: ${String(was)}, then ${String(count)}`);
}
