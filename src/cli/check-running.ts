import { setTimeout as delay } from "node:timers/promises";
import type { Config } from "../config/config.js";
import { exitStatus, print } from "./command.js";
import { compare, type Trouble } from "./running/compare.js";
import { lookAround } from "./running/found.js";
import { readKnown } from "./running/known.js";
import { table } from "./table.js";

/** What is being made or taken away at one look has moved on at the next. */
const betweenLooksMs = 2_000;

/** Cross-checks records with processes, mounts, namespaces, cgroups and directories; changes nothing. */
export async function checkRunning(config: Config, json: boolean): Promise<number> {
  const troubles = await lastingTroubles(config);
  if (json) print(`${JSON.stringify(troubles, null, 2)}\n`);
  else if (troubles.length === 0) print("Everything is as the records have it.\n");
  else {
    const rows = troubles.map(({ kind, what, problem, remedy }) => [kind, what, problem, remedy]);
    print(table([["WHAT", "WHICH", "FOUND", "WHAT TO DO"], ...rows]));
  }
  return troubles.length === 0 ? exitStatus.ok : exitStatus.failed;
}

/** Those of two looks. */
export async function lastingTroubles(config: Config): Promise<Trouble[]> {
  const first = new Set((await look(config)).map(keyOf));
  if (first.size === 0) return [];
  await delay(betweenLooksMs);
  return (await look(config)).filter((trouble) => first.has(keyOf(trouble)));
}

async function look(config: Config): Promise<Trouble[]> {
  const before = await readKnown(config);
  const boxes = before.sandboxes.flatMap(({ box }) => box ?? []);
  const found = await lookAround(config, {
    boxes,
    pids: boxes.flatMap(({ processes }) => processes.map(({ pid }) => pid)),
    cgroups: boxes.flatMap(({ cgroups }) => cgroups),
  });
  return compare(before, found, config);
}

function keyOf({ kind, what, problem }: Trouble): string {
  return JSON.stringify([kind, what, problem]);
}
