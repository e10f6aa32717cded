/**
 * Faults on purpose: what a step that fails or hangs, and a daemon that dies in it, leave behind is a matter of tests
 * (docs/adr/0037). Off unless `A3S_FAULTS` names a directory; the files in it:
 *
 * - `armed`: one line, `<fail|hang|stick|die> <begin|end> <step>`; gone once it has happened. What hangs ends by its signal;
 *   what sticks hears none, and ends when the file `stuck`, which it makes, has gone. Or lines of `cap <ms> <step>`: that
 *   is the step's limit for as long as it stands there, so that what hangs in the step itself need not be waited for.
 * - `passed`: a line for each step that began or ended, as it would be armed.
 */
import { appendFileSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { RuntimeError } from "./errors.js";
import { untilAborted } from "./or-aborted.js";

export type Moment = "begin" | "end";

export interface Faults {
  /** Does what is armed for this moment of the step. `signal` is the step's own; `expire` ends its limit. */
  at(moment: Moment, step: string, signal: AbortSignal, expire?: () => void): Promise<void>;
  /** A step that is to hang does not take its whole limit to. */
  limitOf(step: string, limitMs: number): number;
}

const hangLimitMs = 500;
const stuckPollMs = 50;

/** For a directory: what the daemon does with `A3S_FAULTS`. */
export function faultsIn(directory: string): Faults {
  const armedFile = join(directory, "armed");
  const armed = (): string | undefined => {
    try {
      return readFileSync(armedFile, "utf8").trim();
    } catch {
      return undefined;
    }
  };
  return {
    async at(moment, step, signal, expire) {
      const place = `${moment} ${withoutIds(step)}`;
      appendFileSync(join(directory, "passed"), `${place}\n`);
      const [kind, ...words] = armed()?.split(" ") ?? [];
      if (kind === "cap" || words.join(" ") !== place) return;
      rmSync(armedFile);
      if (kind === "fail") throw new RuntimeError("internal", "fails on purpose", { stage: step });
      if (kind === "hang") await untilAborted(signal);
      if (kind === "stick") {
        expire?.();
        await untilGone(join(directory, "stuck"));
      }
      if (kind === "die") process.kill(process.pid, "SIGKILL");
    },
    limitOf(step, limitMs) {
      const line = armed();
      const name = withoutIds(step);
      if (line?.match(/^hang \w+ (.*)$/)?.[1] === name) return Math.min(limitMs, hangLimitMs);
      const caps = line?.matchAll(/^cap (\d+) (.*)$/gm) ?? [];
      const cap = [...caps].find(([, , capped]) => capped === name);
      return cap === undefined ? limitMs : Math.min(limitMs, Number(cap[1]));
    },
  };
}

async function untilGone(path: string): Promise<void> {
  writeFileSync(path, "");
  while (existsSync(path)) await delay(stuckPollMs);
}

/** Steps are known by the same name in every run. */
function withoutIds(step: string): string {
  return step.replaceAll(/\b[0-9a-f]{12}\b/g, "ID");
}

const directory = process.env["A3S_FAULTS"];

/** Undefined in a daemon that is no test's. */
export const faults: Faults | undefined = directory === undefined ? undefined : faultsIn(directory);
