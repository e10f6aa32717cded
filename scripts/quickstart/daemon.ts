import { type ChildProcess, spawn } from "node:child_process";
import { openSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { RuntimeError } from "../../src/base/errors.js";
import { run, type SetupContext } from "../setup/run.js";
import { Cri } from "./cri.js";

const startLimitMs = 30_000;
const endLimitMs = 20_000;

/** `a3s-box-cri-runtime serve` on directories of its own. */
export class QuickDaemon {
  readonly socket: string;
  readonly cri: Cri;
  readonly #directories: readonly string[];
  readonly #main: string;
  readonly #logFile: string;
  #process: ChildProcess | undefined;
  #failed: Promise<never> | undefined;

  constructor(context: SetupContext, scratch: string) {
    this.#main = join(context.root, "dist/main.js");
    this.socket = join(scratch, "state/cri.sock");
    this.#directories = ["--root", join(scratch, "root"), "--state", join(scratch, "state")];
    this.#logFile = join(scratch, "daemon.log");
    this.cri = new Cri(this.socket);
  }

  async importImage(file: string, signal: AbortSignal): Promise<void> {
    await run(process.execPath, [this.#main, "image", "import", ...this.#directories, file], { signal });
  }

  async start(driver: string, more: readonly string[] = []): Promise<void> {
    await mkdir(join(this.#logFile, ".."), { recursive: true });
    const log = openSync(this.#logFile, "a");
    const listen = ["--listen", `unix://${this.socket}`];
    // Without CNI plugins and their configuration too.
    const how = ["--driver", driver, "--network", "loopback", ...more];
    const args = [this.#main, "serve", ...this.#directories, ...listen, ...how];
    // A group of its own: Ctrl-C is for the quickstart, which then has the daemon clean up.
    const child = spawn(process.execPath, args, { stdio: ["ignore", log, log], detached: true });
    this.#process = child;
    this.#failed = new Promise<never>((_, reject) => {
      child.once("exit", (code) => {
        reject(new RuntimeError("internal", `the daemon ended with status ${String(code)}`));
      });
      child.once("error", reject);
    });
    this.#failed.catch(() => undefined);
    await Promise.race([this.cri.ready(startLimitMs), this.#failed]);
  }

  /** Resolves with the signal, and throws where the daemon ends by itself. */
  async runUntil(signal: AbortSignal): Promise<void> {
    const told = new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener("abort", () => {
        resolve();
      });
    });
    await Promise.race([told, this.#failed]);
  }

  /** SIGTERM, and SIGKILL where that has no effect. */
  async stop(): Promise<void> {
    this.cri.close();
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => {
      child.once("exit", () => {
        resolve();
      });
    });
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), endLimitMs);
    await ended;
    clearTimeout(timer);
  }

  async logTail(lines = 20): Promise<string> {
    const text = await readFile(this.#logFile, "utf8").catch(() => "");
    return text.trimEnd().split("\n").slice(-lines).join("\n");
  }
}
