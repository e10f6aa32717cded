import type { RawData, WebSocket } from "ws";
import { codeOf, messageOf, RuntimeError } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import { anyOf } from "../../base/signals.js";
import { stage } from "../../base/stage.js";
import type { OutputFrom, ProcessEvent, ProcessExit, ProcessNumber, Processes } from "../core/process.js";
import { Lines, lineOf } from "./lines.js";

/** Of one message, either way. */
export const mostMessageBytes = 8 * 1024 * 1024;
/** A client that takes no message, or an agent that reads none, for so long is given up. */
const stuckMs = 60_000;
const pingEveryMs = 30_000;
const silentMs = 90_000;
/** Of standard error: what the reason of a close can say is shorter. */
const keptErrorBytes = 512;
const longestReason = 120;

/** Close codes: 1000 the agent has ended well, 1012 the daemon restarts (take it up again), and our own. */
const codes = { ended: 1000, restarts: 1012, failed: 4000, takenUp: 4001, lost: 4002, stuck: 4003 } as const;

export interface SessionParts {
  readonly socket: WebSocket;
  readonly processes: Pick<Processes, "connect" | "write">;
  readonly id: ProcessNumber;
  readonly log: Logger;
  /** The daemon stops. */
  readonly stopping: AbortSignal;
}

/**
 * One connection to one agent. Every message is one line, whole, and is not looked into. After those of one piece of output a
 * ping says with which byte of it to go on (`from`): clients answer pings without knowing, ours remembers.
 */
export class AcpSession {
  readonly #parts: SessionParts;
  readonly #gone = new AbortController();
  readonly #lines = new Lines(mostMessageBytes);
  #writing: Promise<void> = Promise.resolve();
  #unwritten = 0;
  #heardMs = Date.now();
  #error = "";
  #clientCode = 1006;

  /** Listens at once: what a client has sent along with its handshake comes before anything is awaited. */
  constructor(parts: SessionParts) {
    this.#parts = parts;
    const { socket } = parts;
    socket.on("error", () => undefined); // "close" follows
    socket.on("message", (data, isBinary) => {
      this.#received(data, isBinary);
    });
    socket.on("pong", () => {
      this.#heardMs = Date.now();
    });
    socket.once("close", (code) => {
      this.#clientCode = code;
      this.#gone.abort(new RuntimeError("canceled", "the client has gone"));
    });
  }

  /** Resolves when the connection has ended; whether the agent is not wanted any more. */
  async run(from: OutputFrom, takenUp: AbortSignal): Promise<boolean> {
    const { processes, id, socket, stopping } = this.#parts;
    const probe = setInterval(() => {
      if (Date.now() - this.#heardMs > silentMs) socket.terminate();
      else socket.ping();
    }, pingEveryMs).unref();
    const over = anyOf(this.#gone.signal, takenUp, stopping);
    try {
      for await (const event of processes.connect(id, from, over)) {
        if (event.kind !== "exit") {
          await this.#tell(event);
          continue;
        }
        await this.#exited(event.exit);
        await this.#closed();
        clearInterval(probe);
        return true;
      }
    } catch (thrown) {
      if (!over.aborted) this.#failed(thrown);
    }
    if (takenUp.aborted) this.#close(codes.takenUp, "another connection has taken the agent up");
    else if (stopping.aborted) this.#close(codes.restarts, "the daemon restarts: take the agent up again");
    clearInterval(probe);
    await this.#closed();
    return this.#clientCode === codes.ended && !takenUp.aborted && !stopping.aborted;
  }

  async #tell(event: Exclude<ProcessEvent, { kind: "exit" }>): Promise<void> {
    if (event.kind === "lost") {
      this.#close(codes.lost, `${String(event.bytes)} bytes of the agent's output were lost, unread`);
      throw new RuntimeError("resourceExhausted", "output was lost");
    }
    if (event.stream === "stderr") {
      this.#error = `${this.#error}${Buffer.from(event.data).toString("utf8")}`.slice(-keptErrorBytes);
      return;
    }
    for (const { text } of this.#lines.add(event.data, event.offset)) await this.#send(text);
    const next = this.#lines.beganAt ?? event.offset + event.data.length;
    if (this.#parts.socket.readyState === this.#parts.socket.OPEN) this.#parts.socket.ping(String(next));
  }

  async #send(text: string): Promise<void> {
    await stage("send to the client", stuckMs, this.#gone.signal, () => {
      return new Promise<void>((resolve, reject) => {
        this.#parts.socket.send(text, (error) => {
          if (error instanceof Error) reject(new RuntimeError("canceled", "the client has gone", { cause: error }));
          else resolve();
        });
      });
    });
  }

  /** One after the other, and no more of them are read before all of those that have come together are written. */
  #received(data: RawData, isBinary: boolean): void {
    const { socket, processes, id } = this.#parts;
    this.#heardMs = Date.now();
    if (socket.readyState !== socket.OPEN) return; // the client is being told that it is over
    if (isBinary) {
      this.#close(1003, "messages are text, each a message of JSON-RPC");
      return;
    }
    const line = lineOf(textOf(data));
    if (line === "\n") return;
    socket.pause();
    this.#unwritten += 1;
    this.#writing = this.#writing
      .then(() =>
        stage("write to the agent", stuckMs, this.#gone.signal, (signal) =>
          processes.write(id, Buffer.from(line), signal),
        ),
      )
      .then(
        () => {
          this.#written();
        },
        (thrown: unknown) => {
          this.#written();
          // An agent that has exited says so itself, by its exit.
          if (codeOf(thrown) !== "failedPrecondition") this.#failed(thrown);
        },
      );
  }

  #written(): void {
    this.#unwritten -= 1;
    if (this.#unwritten === 0) this.#parts.socket.resume();
  }

  async #exited({ code, signal, lost }: ProcessExit): Promise<void> {
    await this.#writing;
    const how = signal === 0 ? `exit status ${String(code)}` : `signal ${String(signal)}`;
    const why = lost ?? this.#error.trim().split("\n").at(-1) ?? "";
    if (code === 0 && signal === 0) this.#close(codes.ended, "");
    else this.#close(codes.failed, why === "" ? how : `${how}: ${why}`);
  }

  #failed(thrown: unknown): void {
    if (this.#gone.signal.aborted) return;
    this.#parts.log.info({ err: messageOf(thrown) }, "connection to an agent ended");
    this.#close(codeOf(thrown) === "deadlineExceeded" ? codes.stuck : codes.failed, messageOf(thrown));
  }

  /** The first reason stays. */
  #close(code: number, reason: string): void {
    const { socket } = this.#parts;
    if (socket.readyState !== socket.OPEN) return;
    socket.close(code, clipped(reason));
    socket.resume();
  }

  /** `ws` ends it after 30 s at the latest. */
  async #closed(): Promise<void> {
    const { socket } = this.#parts;
    if (socket.readyState === socket.CLOSED) return;
    if (socket.readyState === socket.OPEN) this.#close(codes.failed, "");
    await new Promise<void>((resolve) => {
      socket.once("close", () => {
        resolve();
      });
    });
  }
}

/** The protocol has 123 bytes for it. */
function clipped(reason: string): string {
  const bytes = Buffer.from(reason).subarray(0, longestReason);
  return bytes.toString("utf8").replace(/\uFFFD+$/, "");
}

function textOf(data: RawData): string {
  if (Array.isArray(data)) return Buffer.concat(data).toString("utf8");
  return Buffer.isBuffer(data) ? data.toString("utf8") : Buffer.from(data).toString("utf8");
}
