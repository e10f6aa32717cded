/** The code interpreter of the template, run by this machine's Python, and what its clients ask of it. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline/promises";
import { projectDirectory } from "./project.js";

/** A line of the answer to /execute. */
export type CodeEvent = Readonly<Record<string, unknown>>;

export class Interpreter {
  readonly url: string;
  readonly #stop: () => Promise<void>;

  private constructor(url: string, stop: () => Promise<void>) {
    this.url = url;
    this.#stop = stop;
  }

  static async start(): Promise<Interpreter> {
    const child = spawn("python3", [join(projectDirectory, "scripts/images/interpreter"), "--port", "0"], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, PYTHONDONTWRITEBYTECODE: "1" },
    });
    const ended = new Promise<void>((resolve) => {
      child.once("close", () => {
        resolve();
      });
    });
    for await (const line of createInterface(child.stdout)) {
      const address = /^listening on (\S+)$/.exec(line)?.[1];
      if (address === undefined) break;
      return new Interpreter(`http://${address}`, async () => {
        child.kill("SIGINT");
        await ended;
      });
    }
    throw new Error("the interpreter does not listen");
  }

  async stop(): Promise<void> {
    await this.#stop();
  }

  async ask(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
    const text = body === undefined ? null : typeof body === "string" ? body : JSON.stringify(body);
    return await fetch(this.url + path, { method, body: text, signal: signal ?? null });
  }

  /** All events of an execution that ends by itself. */
  async execute(request: string | CodeEvent): Promise<CodeEvent[]> {
    const answer = await this.ask("POST", "/execute", typeof request === "string" ? { code: request } : request);
    const text = await answer.text();
    if (answer.status !== 200) throw new Error(`${String(answer.status)} ${text}`);
    return eventsOf(text);
  }

  async context(body: CodeEvent = {}): Promise<string> {
    const made: unknown = await (await this.ask("POST", "/contexts", body)).json();
    if (typeof made === "object" && made !== null && "id" in made && typeof made.id === "string") return made.id;
    throw new Error(`no context: ${JSON.stringify(made)}`);
  }
}

export function eventsOf(text: string): CodeEvent[] {
  return text
    .trimEnd()
    .split("\n")
    .map((line) => {
      const event: unknown = JSON.parse(line);
      if (typeof event !== "object" || event === null) throw new Error(`no event: ${line}`);
      return { ...event };
    });
}

/** What was written to a stream, in one piece. */
export function written(events: readonly CodeEvent[], stream: "stdout" | "stderr"): string {
  return events
    .filter((event) => event["type"] === stream)
    .map((event) => String(event["text"]))
    .join("");
}

export function ofType(events: readonly CodeEvent[], type: string): CodeEvent[] {
  return events.filter((event) => event["type"] === type);
}
