import { connect, type Socket } from "node:net";
import { once } from "node:events";
import * as z from "zod";
import { RuntimeError } from "../../base/errors.js";

/** QEMU's own words, of a machine that nobody but us has had a part in; bounded all the same. */
const longestAnswer = 256 * 1024;
const answer = z.looseObject({
  return: z.unknown().optional(),
  error: z.object({ class: z.string(), desc: z.string() }).optional(),
});

/** QEMU's machine protocol (QMP, docs/interop/qmp-spec): one command at a time, events left aside. */
export class Qmp implements Disposable {
  readonly #socket: Socket;
  readonly #lines: AsyncGenerator<string, undefined>;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#lines = linesOf(socket);
  }

  static async connect(path: string, signal: AbortSignal): Promise<Qmp> {
    const socket = connect(path);
    signal.addEventListener("abort", () => socket.destroy(), { once: true });
    await once(socket, "connect", { signal });
    const monitor = new Qmp(socket);
    await monitor.#next(); // its greeting
    await monitor.execute("qmp_capabilities");
    return monitor;
  }

  /** What the command has returned; throws what QEMU says against it. */
  async execute(command: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    for (;;) {
      const said = answer.parse(JSON.parse(await this.#next()));
      if (said.error !== undefined) throw new RuntimeError("internal", `QEMU: ${command}: ${said.error.desc}`);
      if ("return" in said) return said.return;
    }
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  async #next(): Promise<string> {
    const line = await this.#lines.next();
    if (line.done === true) throw new RuntimeError("unavailable", "QEMU's monitor has closed");
    return line.value;
  }
}

async function* linesOf(socket: Socket): AsyncGenerator<string, undefined> {
  let text = "";
  for await (const chunk of socket) {
    text += String(chunk);
    if (text.length > longestAnswer) throw new RuntimeError("internal", "QEMU's monitor says too much");
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
      yield text.slice(0, end);
      text = text.slice(end + 1);
    }
  }
  return undefined;
}
