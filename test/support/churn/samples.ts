/** What a daemon holds, by the probe that is loaded into it; and whether that grows. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import * as z from "zod";
import { projectDirectory } from "../project.js";
import { eventually } from "../wait.js";

const answer = z.object({
  sample: z.int(),
  rss: z.number(),
  heapUsed: z.number(),
  external: z.number(),
  descriptors: z.int(),
  resources: z.record(z.string(), z.int()),
  classes: z.record(z.string(), z.int()).default({}),
  entries: z.record(z.string(), z.int()).default({}),
  /** Maps of more than a few entries, with the keys that came last. */
  largest: z.array(z.object({ size: z.int(), keys: z.array(z.string()) })).default([]),
});

/** What the probe says, as it says it. */
export type ProbeAnswer = z.infer<typeof answer>;

/** Sizes in MiB, the others counts. */
export interface Sample {
  readonly atMs: number;
  readonly rss: number;
  readonly heap: number;
  readonly external: number;
  readonly descriptors: number;
  readonly handles: number;
  readonly timers: number;
}

export type Figure = Exclude<keyof Sample, "atMs">;

const mib = 1024 * 1024;

/** For the daemon that is to be looked at. `objects`: all of them are counted as well. */
export function probeEnvironment(file: string, objects = false): Readonly<Record<string, string>> {
  const probe = pathToFileURL(join(projectDirectory, "test/support/churn/probe.mjs"));
  const more = objects ? { A3S_PROBE_OBJECTS: "1" } : {};
  return { NODE_OPTIONS: `--import=${probe.href}`, A3S_PROBE_FILE: file, ...more };
}

export async function askProbe(pid: number, file: string): Promise<ProbeAnswer> {
  const before = await read(file);
  process.kill(pid, "SIGUSR2");
  return await eventually("the daemon says what it holds", 20_000, async () => {
    const now = await read(file);
    return now?.sample === before?.sample ? undefined : now;
  });
}

export async function takeSample(pid: number, file: string): Promise<Sample> {
  const said = await askProbe(pid, file);
  const { Timeout: timers = 0, Immediate: _, ...handles } = said.resources;
  return {
    atMs: performance.now(),
    rss: said.rss / mib,
    heap: said.heapUsed / mib,
    external: said.external / mib,
    descriptors: said.descriptors,
    handles: Object.values(handles).reduce((sum, count) => sum + count, 0),
    timers,
  };
}

async function read(file: string): Promise<ProbeAnswer | undefined> {
  const text = await readFile(file, "utf8").catch(() => "");
  return text === "" ? undefined : answer.parse(JSON.parse(text));
}

export interface Growth {
  readonly first: number;
  readonly last: number;
  /** By the line that fits all samples best, from the first to the last. */
  readonly grown: number;
}

export function growthOf(samples: readonly Sample[], figure: Figure): Growth {
  const points = samples.map((sample) => ({ x: sample.atMs, y: sample[figure] }));
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [middleX, middleY] = [mean(points.map(({ x }) => x)), mean(points.map(({ y }) => y))];
  const slope =
    points.reduce((sum, { x, y }) => sum + (x - middleX) * (y - middleY), 0) /
    points.reduce((sum, { x }) => sum + (x - middleX) ** 2, 0);
  const [first, last] = [points[0], points.at(-1)];
  if (first === undefined || last === undefined || first === last) throw new Error("two samples at least");
  return { first: first.y, last: last.y, grown: slope * (last.x - first.x) };
}
