import { Stream, type OutputChunk } from "../../gen/agent/v1/agent.js";
import { LineSplitter, type LinePiece } from "./line-splitter.js";
import { lineParts, type StreamName } from "./log-format.js";

/**
 * How far chunks may stay unacknowledged for a line without an end: it is cut there. The agent keeps 1 MiB and then
 * stops reading.
 */
const maxUnacknowledgedBytes = 256 * 1024;

export interface LogBatch {
  /** Whole lines, to be appended in one write; may be empty. */
  readonly bytes: Buffer;
  /** Once the bytes are safe, every chunk up to and with this one may be forgotten; undefined: nothing new may. */
  readonly acknowledge: bigint | undefined;
  /** Nothing follows. */
  readonly end: boolean;
}

/** Where a line began that has no end yet: before the first chunk that has a part of it. */
interface OpenLine {
  readonly sequence: bigint;
  /** Of all chunks up to there. */
  readonly bytes: number;
}

/**
 * Turns a container's output chunks into log lines. A function of the chunks alone: the same chunks, sent again from an
 * acknowledged one on, give the same lines with the same times. Acknowledged is what lies before the chunk in which the
 * oldest line without an end began, so whoever starts again there has the whole of it. The line before it may end in
 * that chunk: what is then taken for a line is that one's end, of a time that stands in the log.
 *
 * A line's time is that of the chunk in which it ended plus its index there (agent.proto, OutputChunk.time_ns).
 */
export class LogLines {
  readonly #splitters = { stdout: new LineSplitter(), stderr: new LineSplitter() };
  readonly #skipUpToNs: bigint;
  #lastNs: bigint;
  readonly #open: { stdout: OpenLine | undefined; stderr: OpenLine | undefined } = {
    stdout: undefined,
    stderr: undefined,
  };
  /** The last chunk, and bytes up to its end. */
  #last: OpenLine = { sequence: 0n, bytes: 0 };
  #acknowledged = 0n;

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
    const pieces = this.#splitters[stream].push(chunk.data);
    for (const piece of pieces) put(stream, piece);
    this.#noteOpen(stream, pieces);
    this.#last = { sequence: chunk.sequence, bytes: this.#last.bytes + chunk.data.length };
    if (chunk.end || this.#last.bytes - this.#safe().bytes > maxUnacknowledgedBytes) {
      for (const of of ["stdout", "stderr"] as const) {
        const rest = this.#splitters[of].flush();
        if (rest !== undefined) put(of, rest);
        this.#open[of] = undefined;
      }
    }
    return { bytes: Buffer.concat(parts), acknowledge: this.#acknowledge(), end: chunk.end };
  }

  #noteOpen(stream: StreamName, pieces: readonly LinePiece[]): void {
    const { pendingBytes } = this.#splitters[stream];
    if (pendingBytes === 0) this.#open[stream] = undefined;
    else if (pieces.some(({ partial }) => !partial)) this.#open[stream] = this.#last;
    else this.#open[stream] ??= this.#last;
  }

  /** Up to where no chunk has a part of an open line. */
  #safe(): OpenLine {
    const { stdout = this.#last, stderr = this.#last } = this.#open;
    return stdout.sequence < stderr.sequence ? stdout : stderr;
  }

  /** Undefined when nothing new may be forgotten. */
  #acknowledge(): bigint | undefined {
    const { sequence } = this.#safe();
    if (sequence <= this.#acknowledged) return undefined;
    this.#acknowledged = sequence;
    return sequence;
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
