/** The operator as it is shipped: one file, in a process of its own. */
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { parseObject, numberAt, textAt, type JsonObject } from "../../../operator/src/kube/json.js";
import { projectDirectory } from "../project.js";
import { eventually } from "../wait.js";
import { killed, type ApiServer } from "./api-server.js";

let built: Promise<string> | undefined;
let started = 0;

async function bundle(directory: string): Promise<string> {
  const file = join(directory, "operator.mjs");
  await promisify(execFile)(process.execPath, ["operator/build.mjs", file], { cwd: projectDirectory });
  return file;
}

export class OperatorProcess {
  readonly #child: ChildProcess;
  readonly #log: string;

  private constructor(child: ChildProcess, log: string) {
    this.#child = child;
    this.#log = log;
  }

  /** `port`: of what stands before the API server. */
  static async start(server: ApiServer, flags: readonly string[] = [], port = server.port): Promise<OperatorProcess> {
    built ??= bundle(server.directory);
    const file = await built;
    const log = join(server.directory, `operator-${String((started += 1))}.log`);
    const kubeconfig = await server.kubeconfigFile("operator", port);
    const own = [
      "--kubeconfig",
      kubeconfig,
      "--namespace",
      "a3s-system",
      "--metrics-port",
      "0",
      "--discovery-seconds",
      "1",
    ];
    const output = openSync(log, "a");
    const child = spawn(process.execPath, ["--max-semi-space-size=1", file, ...own, ...flags], {
      stdio: ["ignore", output, output],
    });
    closeSync(output);
    return new OperatorProcess(child, log);
  }

  get exitCode(): number | null {
    return this.#child.exitCode;
  }

  async lines(): Promise<readonly JsonObject[]> {
    const text = await readFile(this.#log, "utf8");
    return text.split("\n").flatMap((line) => (line.startsWith("{") ? [parseObject(line)] : []));
  }

  /** The first line of the log with these words. */
  async said(message: string, limitMs = 60_000): Promise<JsonObject> {
    return await eventually(`the operator says ${message}`, limitMs, async () => {
      const hasEnded = this.#child.exitCode !== null;
      const found = (await this.lines()).find((line) => textAt(line, "msg") === message);
      // The last of these is what the failure says.
      if (found === undefined)
        throw new Error(`${hasEnded ? "it has ended" : "so far"}: ${await readFile(this.#log, "utf8")}`);
      return found;
    });
  }

  async leads(limitMs?: number): Promise<void> {
    await this.said("this operator leads", limitMs);
  }

  async isLeading(): Promise<boolean> {
    return (await this.lines()).some((line) => textAt(line, "msg") === "this operator leads");
  }

  async ask(path: string): Promise<{ readonly status: number; readonly text: string }> {
    const port = numberAt(await this.said("the operator has started"), "port") ?? 0;
    const answer = await fetch(`http://127.0.0.1:${String(port)}${path}`);
    return { status: answer.status, text: await answer.text() };
  }

  /** The sum of a metric over its labels. */
  async metric(name: string): Promise<number> {
    const { text } = await this.ask("/metrics");
    const lines = text.split("\n").filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
  }

  /** What it has of memory now, and the most that it had. */
  async memoryMib(): Promise<{ readonly now: number; readonly peak: number }> {
    const text = await readFile(`/proc/${String(this.#child.pid)}/status`, "utf8");
    const of = (name: string): number =>
      Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? "0") / 1024;
    return { now: of("VmRSS"), peak: of("VmHWM") };
  }

  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
    await killed(this.#child, signal);
    return this.#child.exitCode;
  }
}
