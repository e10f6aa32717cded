/**
 * Faults on purpose: what a step that fails or hangs, and a daemon that dies in it, leave behind is a matter of tests
 * (docs/adr/0037). Off unless `A3S_FAULTS` names a folder; the files in it:
 *
 * - `armed`: one line, `<fail|hang|die> <begin|end> <step>`; gone once it has happened.
 * - `passed`: a line for each step that began or ended, as it would be armed.
 */
import { appendFileSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { RuntimeError } from "./errors.js";
import { untilAborted } from "./or-aborted.js";

export type Moment = "begin" | "end";

export interface Faults {
  /** Does what is armed for this moment of the step. `signal` is the step's own, with its limit. */
  at(moment: Moment, step: string, signal: AbortSignal): Promise<void>;
  /** A step that is to hang does not take its whole limit to. */
  limitOf(step: string, limitMs: number): number;
}

const hangLimitMs = 500;

/** For a folder: what the daemon does with `A3S_FAULTS`. */
export function faultsIn(folder: string): Faults {
  const armedFile = join(folder, "armed");
  const armed = (): string | undefined => {
    try {
      return readFileSync(armedFile, "utf8").trim();
    } catch {
      return undefined;
    }
  };
  return {
    async at(moment, step, signal) {
      const place = `${moment} ${withoutIds(step)}`;
      appendFileSync(join(folder, "passed"), `${place}\n`);
      const [kind, ...words] = armed()?.split(" ") ?? [];
      if (words.join(" ") !== place) return;
      rmSync(armedFile);
      if (kind === "fail") throw new RuntimeError("internal", "fails on purpose", { stage: step });
      if (kind === "hang") await untilAborted(signal);
      if (kind === "die") process.kill(process.pid, "SIGKILL");
    },
    limitOf(step, limitMs) {
      const hangs = armed()?.match(/^hang \w+ (.*)$/)?.[1] === withoutIds(step);
      return hangs ? Math.min(limitMs, hangLimitMs) : limitMs;
    },
  };
}

/** Steps are known by the same name in every run. */
function withoutIds(step: string): string {
  return step.replaceAll(/\b[0-9a-f]{12}\b/g, "ID");
}

const folder = process.env["A3S_FAULTS"];

/** Undefined in a daemon that is no test's. */
export const faults: Faults | undefined = folder === undefined ? undefined : faultsIn(folder);
