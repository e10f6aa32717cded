import { anyOf } from "../../base/signals.js";
import { setTimeout as delay } from "node:timers/promises";
import { RuntimeError } from "../../base/errors.js";
import { Stream, type OutputChunk } from "../../gen/agent/v1/agent.js";
import { ByteQueue } from "../../streaming/byte-queue.js";

/** Unread by one attached client before the container is slowed. */
const maxUnreadBytes = 256 * 1024;
/** A client that has taken nothing for so long is cut off: it may slow a container, not stop it. */
const stallMs = 10_000;

/** A container's output from now on, for one attached client. */
export interface OutputTap {
  readonly stdout: AsyncIterable<Uint8Array>;
  readonly stderr: AsyncIterable<Uint8Array>;
  /** Throws `resourceExhausted` when the output did not end but was cut off. */
  throwIfCutOff(): void;
  close(): void;
}

/**
 * Copies of a container's output for the clients that are attached to it. The log is the output's owner: a chunk comes
 * here when it has been written and acknowledged, so that nothing here can cost the log a byte.
 */
export class OutputTaps {
  readonly #taps = new Set<Tap>();
  readonly #hurry = new AbortController();
  #ended = false;

  open(): OutputTap {
    const tap = new Tap(this.#taps);
    if (this.#ended) tap.end();
    else this.#taps.add(tap);
    return tap;
  }

  /** Resolves when every client has room for more, or was cut off. Never rejects. */
  async publish(chunk: OutputChunk): Promise<void> {
    if (this.#taps.size === 0 || chunk.data.length === 0) return;
    await Promise.all([...this.#taps].map((tap) => tap.put(chunk, this.#hurry.signal)));
  }

  /** From now on nobody is waited for: the container has exited, and what is left is little (agent.proto, Output). */
  hurry(): void {
    this.#hurry.abort();
  }

  /** Nothing more comes. */
  end(): void {
    this.#ended = true;
    for (const tap of this.#taps) tap.end();
  }
}

class Tap implements OutputTap {
  readonly stdout = new ByteQueue(maxUnreadBytes);
  readonly stderr = new ByteQueue(maxUnreadBytes);
  readonly #all: Set<Tap>;
  #cutOff = false;

  constructor(all: Set<Tap>) {
    this.#all = all;
  }

  async put(chunk: OutputChunk, hurry: AbortSignal): Promise<void> {
    const queue = chunk.stream === Stream.STDERR ? this.stderr : this.stdout;
    const room = queue.push(chunk.data);
    if (!queue.isFull || hurry.aborted) return;
    const enough = new AbortController();
    const stalled = delay(stallMs, true, { signal: anyOf(hurry, enough.signal) }).catch(() => false);
    if (await Promise.race([room.then(() => false), stalled])) {
      this.#cutOff = true;
      this.close();
    }
    enough.abort();
  }

  throwIfCutOff(): void {
    if (!this.#cutOff) return;
    throw new RuntimeError("resourceExhausted", `the client has read nothing for ${String(stallMs)} ms`);
  }

  end(): void {
    this.stdout.end();
    this.stderr.end();
  }

  close(): void {
    this.#all.delete(this);
    this.stdout.discard();
    this.stderr.discard();
  }
}
