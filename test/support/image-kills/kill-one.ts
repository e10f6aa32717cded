/** Starts the victim, kills it at a random moment, and tells what it had begun and ended. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";

export interface Victim {
  readonly process: ChildProcess;
  readonly lines: string[];
  readonly loaded: Promise<void>;
}

export interface Said {
  readonly what: string;
  readonly reference: string;
}

export interface Killed {
  /** In order, finished or not. */
  readonly ended: readonly Said[];
  readonly underWay: readonly Said[];
  readonly failures: readonly string[];
}

export function startVictim(directory: string, references: readonly string[]): Victim {
  const program = join(import.meta.dirname, "victim.ts");
  const child = spawn(process.execPath, ["--import=tsx", program, directory, ...references], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdin.on("error", () => undefined); // it may be dead by then
  const lines: string[] = [];
  const reader = createInterface({ input: child.stdout });
  const loaded = new Promise<void>((resolve, reject) => {
    child.once("exit", (code) => {
      reject(new Error(`the victim ended by itself with ${String(code)}`));
    });
    reader.on("line", (line) => {
      lines.push(line);
      if (line === "loaded") resolve();
    });
  });
  loaded.catch(() => undefined);
  return { process: child, lines, loaded };
}

/** What is to be met in the middle, and how long it takes at most, about: what is quick would hardly be met by chance. */
const aims: readonly (readonly [string, number])[] = [
  ["begin open", 60],
  ["begin pull", 800],
  ["begin pull", 800],
  ["begin remove", 25],
  ["begin make", 25],
  ["begin unmake", 25],
];

/** Resolves once the process is gone and all that it said is read. */
export async function killAtRandom(victim: Victim, longestLifeMs: number): Promise<Killed> {
  await victim.loaded;
  const gone = once(victim.process, "close");
  victim.process.stdin?.write("go\n");
  const [aim, longestMs] = aims[Math.floor(Math.random() * aims.length)] ?? ["", 0];
  await saidWithin(victim, aim, longestLifeMs);
  await delay(Math.random() * longestMs);
  victim.process.kill("SIGKILL");
  await gone;
  return readLines(victim.lines);
}

/** Resolves when it says so, or after the time. */
async function saidWithin(victim: Victim, start: string, limitMs: number): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!victim.lines.some((line) => line.startsWith(start)) && performance.now() < deadline) await delay(2);
}

function readLines(lines: readonly string[]): Killed {
  const underWay = new Map<string, Said>();
  const ended: Said[] = [];
  const failures: string[] = [];
  for (const line of lines) {
    const [event, what = "", reference = ""] = line.split(" ");
    if (event === "begin") underWay.set(reference, { what, reference });
    if (event === "end" || event === "failed") underWay.delete(reference);
    if (event === "end") ended.push({ what, reference });
    if (event === "failed") failures.push(line);
  }
  return { ended, underWay: [...underWay.values()], failures };
}
