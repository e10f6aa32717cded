import { spawn, type ChildProcessByStdio } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { projectDirectory } from "../project.js";

/** A program that answers each line with one. */
export class Lines {
  /** A script of this directory, in a network namespace. */
  static start(netns: string, script: string, ...args: readonly string[]): Lines {
    const path = join(projectDirectory, "test/support/egress", script);
    return new Lines(
      spawn("nsenter", [`--net=${netns}`, "python3", path, ...args], { stdio: ["pipe", "pipe", "inherit"] }),
    );
  }

  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;

  private constructor(child: ChildProcessByStdio<Writable, Readable, null>) {
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  async next(): Promise<string> {
    const next = await this.#lines.next();
    if (next.done === true) throw new Error("it has ended");
    return next.value;
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  async say(line: string): Promise<string> {
    this.#child.stdin.write(`${line}\n`);
    return await this.next();
  }
}

export interface Seen {
  readonly to: string;
  readonly from: string;
  readonly proto: number;
}

/** What `world.py` has had come in since the last time. */
export async function seenBy(world: Lines): Promise<Seen[]> {
  const said: unknown = JSON.parse(await world.say("seen"));
  return Array.isArray(said) ? said.flatMap((one: unknown) => (isSeen(one) ? one : [])) : [];
}

function isSeen(one: unknown): one is Seen {
  return typeof one === "object" && one !== null && "to" in one && "from" in one && "proto" in one;
}
