/**
 * One way to fuzz for all that reads bytes of others: first the inputs that have found something once
 * (`test/support/fuzzing/kept/NAME/`), then good ones, damaged, other ones each time. What fails says its seed:
 *
 *   A3S_FUZZ_MS=600000 npm run test:unit -- --grep damaged    ten minutes for each target in place of one second
 *   A3S_FUZZ_SEED=N                                           begins with the input of that seed
 *
 * Structured values with a round trip are for fast-check: `test/support/fuzz.ts`.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { numbersFrom } from "../mutate.js";
import { damaged } from "./damage.js";

const keptInputs = join(import.meta.dirname, "kept");
const usualMs = 1000;
/** Of the processor, for all that one input makes the daemon do: what a busy machine takes away does not count. */
const mostCostMs = 100;
/** What a collection of garbage takes is no fault of the input's: not each time. */
const looks = 4;
/** Then everything else gets its turn: what is tried may never wait for anything. */
const inputsOfTurn = 50;
const mostGrowthBytes = 48 * 1024 * 1024;

export interface FuzzTarget {
  /** And the name of the directory of its kept inputs. */
  readonly name: string;
  /** Good inputs, to be damaged. */
  readonly seeds: readonly (Uint8Array | string)[];
  /** What the format knows. */
  readonly words?: readonly string[];
  /** Whether the input was taken; throws for what must never be. A refusal as the contract has it is `false`. */
  tried(input: Buffer, random: () => number): boolean | Promise<boolean>;
}

export interface FuzzOutcome {
  readonly taken: number;
  readonly refused: number;
}

/** For the target's time, and no longer than an input takes. */
export async function fuzz(target: FuzzTarget): Promise<FuzzOutcome> {
  const ends = { taken: 0, refused: 0 };
  const count = (taken: boolean): number => (ends[taken ? "taken" : "refused"] += 1);
  for (const { file, bytes } of await keptOf(target.name)) {
    count(await look(target, `the kept input ${file}`, bytes, 1));
  }
  const seeds = target.seeds.map((seed) => Buffer.from(seed));
  for (const seed of seeds) {
    if (!(await look(target, "a good input", seed, 1))) throw new Error(`${target.name} refuses ${shown(seed)}`);
  }
  const first = numberOf("A3S_FUZZ_SEED", Math.floor(Math.random() * 1e9));
  const before = await usedBytes();
  const endMs = performance.now() + numberOf("A3S_FUZZ_MS", usualMs);
  for (let seed = first; performance.now() < endMs; seed += 1) {
    const input = damaged(seeds, target.words ?? [], numbersFrom(seed));
    count(await look(target, `A3S_FUZZ_SEED=${seed}`, input, seed));
    if (seed % inputsOfTurn === 0) await turn();
  }
  const growth = (await usedBytes()) - before;
  if (growth > mostGrowthBytes) throw new Error(`${target.name} has kept ${growth} bytes, A3S_FUZZ_SEED=${first}`);
  // Neither all refused nor all taken: else nothing was tried.
  if (ends.taken === 0 || ends.refused === 0) throw new Error(`${target.name}: ${JSON.stringify(ends)}`);
  return ends;
}

async function look(target: FuzzTarget, from: string, input: Buffer, seed: number): Promise<boolean> {
  let costMs = Infinity;
  let taken = false;
  try {
    for (let left = looks; left > 0 && costMs > mostCostMs; left -= 1) {
      const before = process.cpuUsage();
      taken = await target.tried(Buffer.from(input), numbersFrom(seed));
      const { user, system } = process.cpuUsage(before);
      costMs = Math.min(costMs, (user + system) / 1000);
    }
  } catch (cause) {
    throw new Error(`${target.name}: ${from}: ${String(cause)}\n${shown(input)}`, { cause });
  }
  if (costMs <= mostCostMs) return taken;
  throw new Error(`${target.name}: ${from}: took ${costMs.toFixed()} ms of the processor\n${shown(input)}`);
}

async function keptOf(name: string): Promise<{ file: string; bytes: Buffer }[]> {
  const directory = join(keptInputs, name);
  const files = await readdir(directory).catch(() => []);
  return await Promise.all(files.sort().map(async (file) => ({ file, bytes: await readFile(join(directory, file)) })));
}

/** For who keeps it: `base64 -d > test/support/fuzzing/kept/NAME/WHAT-IT-FOUND`. */
function shown(input: Buffer): string {
  return `input of ${input.length} bytes, base64: ${input.toString("base64").slice(0, 8192)}`;
}

function numberOf(name: string, otherwise: number): number {
  const value = Number(process.env[name] ?? String(otherwise));
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`${name} must be a whole number`);
  return value;
}

/** Of what is still held. */
async function usedBytes(): Promise<number> {
  await turn();
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("gc");
  if (isAction(collect)) collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function isAction(value: unknown): value is () => void {
  return typeof value === "function";
}
