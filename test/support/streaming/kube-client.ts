/** client-go's executors and port-forwarder, and kubelet's log reader, as a program (test/support/kube-client). */
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { projectDirectory } from "../project.js";
import { skipBecause } from "../skip.js";
import { eventually, limit } from "../wait.js";

const program = join(projectDirectory, "build/assets/bin/kube-client");
const sizesDescriptor = 4;

/** Of bytes that the program did not keep. */
export interface Summary {
  readonly bytes: number;
  readonly sha256: string;
}

/** What a run saw (result.go). */
export interface KubeResult {
  readonly exitCode: number;
  /** "" when all went well. */
  readonly error: string;
  readonly sent: Summary;
  readonly stdout: Summary;
  readonly peakRssKiB: number;
}

/** The set-up builds it where there is a Go to build it with. */
export function needsKubeClient(test: Mocha.Context): void {
  if (!existsSync(program)) skipBecause(test, "no kube-client: the set-up has found no Go that could build it");
}

export interface KubeClientOptions {
  /** Takes the place of the text of stdout. */
  readonly output?: Writable;
  /** Path of the network namespace that the server is in. */
  readonly netns?: string;
}

/** One run of the program. What is not asked for as a flag stays empty. */
export class KubeClient {
  readonly ended: Promise<KubeResult>;
  stdout = "";
  stderr = "";
  readonly #child: ChildProcess;

  constructor(args: readonly string[], limitMs = 60_000, { output, netns }: KubeClientOptions = {}) {
    const sizes = args.includes("-tty") ? ["pipe" as const] : [];
    const [first = "", ...rest] = [...(netns === undefined ? [] : ["nsenter", `--net=${netns}`]), program, ...args];
    this.#child = spawn(first, rest, {
      stdio: ["pipe", "pipe", "pipe", "pipe", ...sizes],
      signal: AbortSignal.timeout(limit(limitMs)),
    });
    this.stdin.on("error", () => undefined); // the program may have ended
    if (output === undefined) this.#take(1, (text) => (this.stdout += text));
    else this.#child.stdout?.pipe(output);
    this.#take(2, (text) => (this.stderr += text));
    this.ended = this.#result();
    this.ended.catch(() => undefined);
  }

  get stdin(): Writable {
    const { stdin } = this.#child;
    if (stdin === null) throw new Error("the program has no stdin");
    return stdin;
  }

  /** Tells the size of the terminal's window; only with -tty. */
  resize(width: number, height: number): void {
    const sizes = this.#child.stdio[sizesDescriptor];
    if (!sizes || !("write" in sizes)) throw new Error("the program has no terminal");
    sizes.write(`${width}x${height}\n`);
  }

  /** Ends it where it stands, as a user who loses patience. */
  kill(): void {
    this.#child.kill("SIGKILL");
  }

  async saw(text: string): Promise<void> {
    await eventually(`the client sees ${JSON.stringify(text)}`, 20_000, () => {
      if (this.stdout.includes(text)) return true;
      throw new Error(JSON.stringify({ stdout: this.stdout, stderr: this.stderr }));
    });
  }

  async #result(): Promise<KubeResult> {
    let text = "";
    this.#take(3, (part) => (text += part));
    await new Promise<void>((resolve, reject) => {
      this.#child.once("error", reject);
      this.#child.once("close", () => {
        resolve();
      });
    });
    if (text === "") throw new Error(`the client ended without a result: ${this.stderr}`);

    return JSON.parse(text) as KubeResult;
  }

  #take(descriptor: 1 | 2 | 3, with_: (text: string) => void): void {
    const stream = this.#child.stdio[descriptor];
    if (!stream || !("setEncoding" in stream)) throw new Error("a pipe of the client is missing");
    stream.setEncoding("utf8").on("data", with_);
  }
}

/** Forwards a port of the pod until the test is done with it. */
export async function forwardedPort(
  args: readonly string[],
  limitMs?: number,
  options?: KubeClientOptions,
): Promise<{ port: number; client: KubeClient }> {
  const client = new KubeClient(["forward", ...args], limitMs, options);
  const port = await Promise.race([
    eventually("the client listens", 20_000, () => (/^\d+\n/.test(client.stdout) ? Number(client.stdout) : undefined)),
    client.ended.then(({ error }) => {
      throw new Error(`the client did not forward: ${error}`);
    }),
  ]);
  return { port, client };
}
