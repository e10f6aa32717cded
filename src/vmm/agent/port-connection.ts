import type { ClientDuplexStream } from "@grpc/grpc-js";
import { RuntimeError } from "../../base/errors.js";
import type { PortConnection } from "./agent-client.js";
import type { CallScope } from "./call-scope.js";
import { messagesOf, refuseMore } from "./messages-of.js";
import { failureOf, isServiceError } from "./status.js";

/** What the agent sends of a connection: PortForwardResponse, TakeConnectionResponse. */
interface Part {
  readonly data: Uint8Array;
  readonly end: boolean;
}

/** A call of the contract that is a connection. */
export interface ConnectionCall<Req, Res extends Part> {
  /** "port forward": for errors. */
  readonly name: string;
  readonly open: () => ClientDuplexStream<Req, Res>;
  readonly first: Req;
  readonly next: (data: Uint8Array) => Req;
  /** What says that nothing more is sent; absent: the end of the requests does. */
  readonly last?: Req;
}

/** Data of one message of the contract, either way. */
const maxDataBytes = 32 * 1024;
/** The agent dials two addresses, each for 10 s at most. */
const dialMs = 25_000;

/** Opens the call and waits until the agent has the connection. */
export async function openConnection<Req, Res extends Part>(
  scope: CallScope,
  wanted: ConnectionCall<Req, Res>,
  signal: AbortSignal,
): Promise<PortConnection> {
  scope.throwIfShut();
  signal.throwIfAborted();
  const connection = new AgentPortConnection(scope, signal, wanted);
  await connection.dial();
  return connection;
}

class AgentPortConnection<Req, Res extends Part> implements PortConnection {
  readonly #scope: CallScope;
  readonly #signal: AbortSignal;
  readonly #wanted: ConnectionCall<Req, Res>;
  readonly #call: ClientDuplexStream<Req, Res>;
  readonly #messages: AsyncGenerator<Res, void>;
  /** Set when the dialling took too long. */
  #tooLate: RuntimeError | undefined;
  readonly #ended = { call: false, ours: false, theirs: false };

  constructor(scope: CallScope, signal: AbortSignal, wanted: ConnectionCall<Req, Res>) {
    const call = wanted.open();
    this.#scope = scope;
    this.#signal = signal;
    this.#wanted = wanted;
    this.#call = call;
    this.#messages = messagesOf<Req, Res>(call);
    const cancel = (): void => {
      call.cancel();
    };
    scope.add(call);
    signal.addEventListener("abort", cancel, { once: true });
    // "status" comes last, whatever the end was.
    call.once("status", () => {
      scope.delete(call);
      signal.removeEventListener("abort", cancel);
      this.#ended.call = true;
    });
  }

  /** The agent's first message, empty, says that it has connected. */
  async dial(): Promise<void> {
    const limit = setTimeout(() => {
      this.#tooLate = new RuntimeError("deadlineExceeded", `no connection in ${String(dialMs)} ms`, {
        stage: `agent ${this.#wanted.name}`,
      });
      this.#call.cancel();
    }, dialMs);
    try {
      this.#call.write(this.#wanted.first);
      const first = await this.#next();
      if (first === undefined || first.data.length > 0) throw this.#wrong("no answer to the connection");
    } catch (thrown) {
      this.close();
      throw thrown;
    } finally {
      clearTimeout(limit);
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void> {
    for (;;) {
      const message = await this.#next();
      if (message === undefined) throw this.#wrong("the call ended before the connection");
      if (message.data.length > maxDataBytes) throw this.#wrong(`${String(message.data.length)} bytes at once`);
      if (message.end) break;
      if (message.data.length === 0) throw this.#wrong("a message without data");
      yield message.data;
    }
    this.#ended.theirs = true;
    // What is left is the status, which frees the call.
    refuseMore(this.#call);
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += maxDataBytes) {
      await this.#send(bytes.subarray(at, at + maxDataBytes));
    }
  }

  end(): void {
    this.#ended.ours = true;
    if (this.#wanted.last !== undefined) this.#call.write(this.#wanted.last);
    this.#call.end();
  }

  close(): void {
    // After both ends the agent ends the call; a cancel could overtake the last bytes.
    if (!this.#ended.ours || !this.#ended.theirs) this.#call.cancel();
  }

  async #send(data: Uint8Array): Promise<void> {
    const broke = new RuntimeError("canceled", "the connection has ended", { stage: `agent ${this.#wanted.name}` });
    if (this.#ended.call) throw broke;
    await new Promise<void>((resolve, reject) => {
      // A call that has ended leaves writes without an answer.
      const over = (): void => {
        reject(broke);
      };
      this.#call.once("status", over);
      this.#call.write(this.#wanted.next(data), (error: Error | null | undefined) => {
        this.#call.off("status", over);
        if (error instanceof Error) reject(error);
        else resolve();
      });
    });
  }

  async #next(): Promise<Res | undefined> {
    try {
      const next = await this.#messages.next();
      return next.done === true ? undefined : next.value;
    } catch (thrown) {
      if (this.#tooLate !== undefined) throw this.#tooLate;
      if (isServiceError(thrown)) throw failureOf(this.#scope, this.#wanted.name, thrown, dialMs, this.#signal);
      throw this.#scope.endedBecause(this.#signal) ?? thrown;
    }
  }

  #wrong(what: string): RuntimeError {
    return new RuntimeError("internal", what, { stage: `agent ${this.#wanted.name}` });
  }
}
