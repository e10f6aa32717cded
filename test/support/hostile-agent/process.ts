import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { attacks, type AttackName } from "./attacks.js";

/** The agents of `attacks`, in a process of their own: their work is not the daemon's. */
export class HostileAgents implements AsyncDisposable {
  readonly #folder: string;
  readonly #process: ChildProcess;

  private constructor(folder: string, process: ChildProcess) {
    this.#folder = folder;
    this.#process = process;
  }

  static async start(): Promise<HostileAgents> {
    const folder = await mkdtemp(join(tmpdir(), "a3s-h"));
    const child = fork(join(import.meta.dirname, "main.ts"), [folder], { execArgv: ["--import=tsx"] });
    await once(child, "message");
    return new HostileAgents(folder, child);
  }

  socketOf(attack: AttackName): string {
    return join(this.#folder, `${String(Object.keys(attacks).indexOf(attack))}.sock`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const over = once(this.#process, "exit");
    this.#process.disconnect();
    await over;
    await rm(this.#folder, { recursive: true, force: true });
  }
}
