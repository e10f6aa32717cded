import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { attacks, type AttackName } from "./attacks.js";

/** The agents of `attacks`, in a process of their own: their work is not the daemon's. */
export class HostileAgents implements AsyncDisposable {
  readonly #directory: string;
  readonly #process: ChildProcess;

  private constructor(directory: string, process: ChildProcess) {
    this.#directory = directory;
    this.#process = process;
  }

  static async start(): Promise<HostileAgents> {
    const directory = await mkdtemp(join(tmpdir(), "a3s-h"));
    const child = fork(join(import.meta.dirname, "main.ts"), [directory], { execArgv: ["--import=tsx"] });
    await once(child, "message");
    return new HostileAgents(directory, child);
  }

  socketOf(attack: AttackName): string {
    return join(this.#directory, `${String(Object.keys(attacks).indexOf(attack))}.sock`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const over = once(this.#process, "exit");
    this.#process.disconnect();
    await over;
    await rm(this.#directory, { recursive: true, force: true });
  }
}
