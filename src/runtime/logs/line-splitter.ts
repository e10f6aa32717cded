/**
 * Content of one log line, at most; a longer line becomes partial lines (pkg/kubelet/kuberuntime/logs; what other
 * runtimes do).
 */
const maxLineBytes = 16 * 1024;

export interface LinePiece {
  readonly content: Buffer;
  /** More of the same line follows. */
  readonly partial: boolean;
}

/**
 * Cuts one stream into lines. What comes out depends on the bytes alone, not on how they were cut into chunks. Bytes are
 * neither added nor removed, but for the line feed and one carriage return directly before it.
 */
export class LineSplitter {
  #pending = Buffer.alloc(0);

  /** Bytes of a line that has not ended yet. */
  get pendingBytes(): number {
    return this.#pending.length;
  }

  push(data: Uint8Array): LinePiece[] {
    const fresh = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    let rest = this.#pending.length === 0 ? fresh : Buffer.concat([this.#pending, fresh]);
    const pieces: LinePiece[] = [];
    for (;;) {
      const end = rest.indexOf(0x0a);
      const length = end === -1 ? rest.length : end;
      if (length > maxLineBytes) {
        pieces.push({ content: rest.subarray(0, maxLineBytes), partial: true });
        rest = rest.subarray(maxLineBytes);
        continue;
      }
      if (end === -1) break;
      pieces.push({ content: withoutCarriageReturn(rest.subarray(0, end)), partial: false });
      rest = rest.subarray(end + 1);
    }
    this.#pending = Buffer.from(rest);
    return pieces;
  }

  /** What has no line feed yet, as a partial line; undefined when there is nothing. */
  flush(): LinePiece | undefined {
    if (this.#pending.length === 0) return undefined;
    const content = this.#pending;
    this.#pending = Buffer.alloc(0);
    return { content, partial: true };
  }
}

function withoutCarriageReturn(line: Buffer): Buffer {
  return line.at(-1) === 0x0d ? line.subarray(0, -1) : line;
}
