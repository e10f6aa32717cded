import type { ClientDuplexStream } from "@grpc/grpc-js";
import { RuntimeError } from "../../base/errors.js";
import type { PortForwardRequest, PortForwardResponse } from "../../gen/agent/v1/agent.js";
import type { PortConnection } from "./agent-client.js";
import type { CallScope } from "./call-scope.js";
import { messagesOf, refuseMore } from "./messages-of.js";
import { failureOf, isServiceError } from "./status.js";

type ForwardCall = ClientDuplexStream<PortForwardRequest, PortForwardResponse>;

/** PortForwardRequest.data and PortForwardResponse.data of the contract. */
const maxDataBytes = 32 * 1024;
/** The agent dials two addresses, each for 10 s at most. */
const dialMs = 25_000;

/** Opens the call and waits until the agent has connected. */
export async function connectPort(
  scope: CallScope,
  port: number,
  signal: AbortSignal,
  open: () => ForwardCall,
): Promise<PortConnection> {
  scope.throwIfClosed();
  signal.throwIfAborted();
  const connection = new AgentPortConnection(scope, signal, open());
  await connection.dial(port);
  return connection;
}

class AgentPortConnection implements PortConnection {
  readonly #scope: CallScope;
  readonly #signal: AbortSignal;
  readonly #call: ForwardCall;
  readonly #messages: AsyncGenerator<PortForwardResponse, void>;
  /** Set when the dialling took too long. */
  #tooLate: RuntimeError | undefined;
  readonly #ended = { call: false, ours: false, theirs: false };

  constructor(scope: CallScope, signal: AbortSignal, call: ForwardCall) {
    this.#scope = scope;
    this.#signal = signal;
    this.#call = call;
    this.#messages = messagesOf<PortForwardRequest, PortForwardResponse>(call);
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
  async dial(port: number): Promise<void> {
    const limit = setTimeout(() => {
      this.#tooLate = new RuntimeError("deadlineExceeded", `no connection in ${String(dialMs)} ms`, {
        stage: "agent port forward",
      });
      this.#call.cancel();
    }, dialMs);
    try {
      this.#call.write({ port, data: Buffer.alloc(0) });
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
    this.#call.end();
  }

  close(): void {
    // After both ends the agent ends the call; a cancel could overtake the last bytes.
    if (!this.#ended.ours || !this.#ended.theirs) this.#call.cancel();
  }

  async #send(data: Uint8Array): Promise<void> {
    const broke = new RuntimeError("canceled", "the connection has ended", { stage: "agent port forward" });
    if (this.#ended.call) throw broke;
    await new Promise<void>((resolve, reject) => {
      // A call that has ended leaves writes without an answer.
      const over = (): void => {
        reject(broke);
      };
      this.#call.once("status", over);
      this.#call.write({ port: 0, data }, (error: Error | null | undefined) => {
        this.#call.off("status", over);
        if (error instanceof Error) reject(error);
        else resolve();
      });
    });
  }

  async #next(): Promise<PortForwardResponse | undefined> {
    try {
      const next = await this.#messages.next();
      return next.done === true ? undefined : next.value;
    } catch (thrown) {
      if (this.#tooLate !== undefined) throw this.#tooLate;
      if (isServiceError(thrown)) throw failureOf(this.#scope, "port forward", thrown, dialMs, this.#signal);
      throw this.#scope.endedBecause(this.#signal) ?? thrown;
    }
  }

  #wrong(what: string): RuntimeError {
    return new RuntimeError("internal", what, { stage: "agent port forward" });
  }
}
