import { Stream, type OutputChunk } from "../../gen/agent/v1/agent.js";
import { LineSplitter, type LinePiece } from "./line-splitter.js";
import { lineParts, type StreamName } from "./log-format.js";

/** How far chunks may stay unacknowledged for a line without an end; the agent keeps 1 MiB and then stops reading. */
const maxUnacknowledgedBytes = 256 * 1024;

export interface LogBatch {
  /** Whole lines, to be appended in one write; may be empty. */
  readonly bytes: Buffer;
  /** Once the bytes are safe, every chunk up to and with this one may be forgotten; undefined: nothing new may. */
  readonly acknowledge: bigint | undefined;
  /** Nothing follows. */
  readonly end: boolean;
}

/**
 * Turns a container's output chunks into log lines. A function of the chunks alone: the same chunks, sent again from an
 * acknowledged one on, give the same lines with the same times. A chunk is acknowledged when every byte up to its end
 * stands in a line, so whoever starts again there starts with empty hands.
 *
 * A line's time is that of the chunk in which it ended plus its index there (agent.proto, OutputChunk.time_ns).
 */
export class LogLines {
  readonly #splitters = { stdout: new LineSplitter(), stderr: new LineSplitter() };
  readonly #skipUpToNs: bigint;
  #lastNs: bigint;
  #unacknowledgedBytes = 0;

  /** Lines up to this time stand in the log already and are not made again; 0 for a new log. */
  constructor(skipUpToNs: bigint) {
    this.#skipUpToNs = skipUpToNs;
    this.#lastNs = skipUpToNs;
  }

  push(chunk: OutputChunk): LogBatch {
    const stream: StreamName = chunk.stream === Stream.STDERR ? "stderr" : "stdout";
    const parts: Buffer[] = [];
    let index = 0n;
    const put = (of: StreamName, piece: LinePiece): void => {
      parts.push(...this.#line(chunk.timeNs + index, of, piece));
      index += 1n;
    };
    for (const piece of this.#splitters[stream].push(chunk.data)) put(stream, piece);
    this.#unacknowledgedBytes += chunk.data.length;
    if (chunk.end || this.#unacknowledgedBytes > maxUnacknowledgedBytes) {
      for (const of of ["stdout", "stderr"] as const) {
        const rest = this.#splitters[of].flush();
        if (rest !== undefined) put(of, rest);
      }
    }
    const clean = this.#splitters.stdout.pendingBytes === 0 && this.#splitters.stderr.pendingBytes === 0;
    if (clean) this.#unacknowledgedBytes = 0;
    return { bytes: Buffer.concat(parts), acknowledge: clean ? chunk.sequence : undefined, end: chunk.end };
  }

  /** What is left when the output breaks off: the Box has died and nothing will be sent again. */
  flush(): Buffer {
    const parts: Buffer[] = [];
    for (const stream of ["stdout", "stderr"] as const) {
      const rest = this.#splitters[stream].flush();
      if (rest !== undefined) parts.push(...this.#line(this.#lastNs + 1n, stream, rest));
    }
    return Buffer.concat(parts);
  }

  /** The guest's clock is not trusted: a time that does not rise is made to. */
  #line(timeNs: bigint, stream: StreamName, piece: LinePiece): readonly Buffer[] {
    if (timeNs <= this.#skipUpToNs) return [];
    this.#lastNs = timeNs > this.#lastNs ? timeNs : this.#lastNs + 1n;
    return lineParts(this.#lastNs, stream, piece);
  }
}
