import type { ClientDuplexStream } from "@grpc/grpc-js";
import { RuntimeError } from "../../base/errors.js";
import { sleep } from "../../base/stage.js";
import { anyOf } from "../../base/signals.js";
import { Stream, type OutputChunk, type OutputRequest, type ProcessRef } from "../../gen/agent/v1/agent.js";
import type { OutputReader } from "./agent-client.js";
import type { CallScope } from "./call-scope.js";
import { messagesOf, refuseMore } from "./messages-of.js";
import { failureOf, isServiceError } from "./status.js";

/** OutputChunk.data of the contract. */
const maxChunkBytes = 32 * 1024;
const resumePauseMs = 200;

type OutputCall = ClientDuplexStream<OutputRequest, OutputChunk>;

export interface OutputSource {
  readonly process: ProcessRef;
  readonly after: bigint;
  readonly autoAcknowledge: boolean;
  readonly open: () => OutputCall;
}

/** A guest can send what it likes: sizes, order and streams are checked here, once. */
function checkChunk(chunk: OutputChunk, last: bigint | undefined): void {
  const wrong = (what: string): RuntimeError =>
    new RuntimeError("internal", `the agent sent output that breaks the contract: ${what}`, { stage: "agent output" });
  if (chunk.data.length > maxChunkBytes) throw wrong(`a chunk of ${chunk.data.length} bytes`);
  if (last !== undefined && chunk.sequence !== last + 1n) {
    throw wrong(`chunk ${chunk.sequence.toString()} after ${last.toString()}`);
  }
  if (chunk.sequence < 1n) throw wrong("a chunk without a number");
  if (chunk.end && chunk.data.length > 0) throw wrong("an end with data");
  if (!chunk.end && chunk.stream !== Stream.STDOUT && chunk.stream !== Stream.STDERR) throw wrong("an unknown stream");
}

/**
 * Reads one process's output over as many connections as it takes. After a lost one it asks again from the last
 * acknowledged chunk and leaves out what it has given already: nothing is lost that was not acknowledged.
 */
export class ResumingOutput implements OutputReader {
  readonly #scope: CallScope;
  readonly #source: OutputSource;
  readonly #signal: AbortSignal;
  readonly #closing = new AbortController();
  #acknowledged: bigint;
  #delivered: bigint | undefined;
  #call: OutputCall | undefined;
  #ended = false;

  constructor(scope: CallScope, source: OutputSource, signal: AbortSignal) {
    this.#scope = scope;
    this.#source = source;
    this.#signal = signal;
    this.#acknowledged = source.after;
  }

  acknowledge(sequence: bigint): void {
    if (sequence <= this.#acknowledged) return;
    this.#acknowledged = sequence;
    if (this.#source.autoAcknowledge || this.#call?.writable !== true) return;
    this.#call.write({ acknowledge: sequence });
    if (this.#ended && this.#allAcknowledged()) this.#call.end();
  }

  close(): void {
    this.#closing.abort(new RuntimeError("canceled", "the output reader was closed"));
    this.#call?.cancel();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<OutputChunk, void> {
    const stopped = anyOf(this.#signal, this.#closing.signal);
    for (;;) {
      this.#scope.throwIfClosed();
      if (this.#isClosed()) return;
      stopped.throwIfAborted();
      if (this.#scope.rest.isResting) {
        await this.#scope.rest.awake(anyOf(stopped, this.#scope.closed)).catch(() => undefined);
        continue;
      }
      try {
        if (yield* this.#read(stopped)) return;
        // The server ended the stream in the middle: another reader, or a restarted agent. Ask again.
      } catch (thrown) {
        if (this.#isClosed()) return;
        if (!(thrown instanceof RuntimeError) || thrown.code !== "unavailable" || this.#scope.closed.aborted)
          throw thrown;
      }
      await sleep(resumePauseMs, anyOf(stopped, this.#scope.closed)).catch(() => undefined);
    }
  }

  /** One connection's part; true when the end has come. */
  async *#read(stopped: AbortSignal): AsyncGenerator<OutputChunk, boolean> {
    const { process, autoAcknowledge } = this.#source;
    const call = this.#source.open();
    const cancel = (): void => {
      call.cancel();
    };
    this.#call = call;
    this.#scope.add(call);
    stopped.addEventListener("abort", cancel, { once: true });
    try {
      call.write({ open: { process, after: this.#resumeAt(), autoAcknowledge } });
      for await (const chunk of messagesOf<OutputRequest, OutputChunk>(call)) {
        if (this.#delivered !== undefined && chunk.sequence <= this.#delivered) continue;
        checkChunk(chunk, this.#delivered);
        this.#delivered = chunk.sequence;
        this.#ended = chunk.end;
        yield chunk;
        if (this.#ended) return true;
      }
      return false;
    } catch (thrown) {
      if (isServiceError(thrown)) throw failureOf(this.#scope, "output", thrown, null, stopped);
      throw this.#scope.endedBecause(stopped) ?? thrown;
    } finally {
      stopped.removeEventListener("abort", cancel);
      this.#scope.delete(call);
      if (this.#ended) this.#letEnd(call);
      else this.#drop(call);
    }
  }

  /** After the end the stream stays open for the last acknowledgement; the agent ends it then. */
  #letEnd(call: OutputCall): void {
    refuseMore(call);
    if (this.#source.autoAcknowledge || this.#allAcknowledged()) call.end();
  }

  #drop(call: OutputCall): void {
    this.#call = undefined;
    call.cancel();
  }

  #isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  #allAcknowledged(): boolean {
    return this.#acknowledged >= (this.#delivered ?? 0n);
  }

  #resumeAt(): bigint {
    return this.#source.autoAcknowledge ? (this.#delivered ?? this.#acknowledged) : this.#acknowledged;
  }
}
