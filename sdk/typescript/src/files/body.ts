/** What is written into files, as pieces that gRPC takes. */
import { InvalidArgumentError } from "../errors.js";

export type FileData =
  string | ArrayBuffer | Uint8Array | Blob | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array | string>;

/** One message. */
const pieceBytes = 256 * 1024;

export interface Body {
  /** What it is made of is there still: it can be sent again. */
  readonly isRepeatable: boolean;
  readonly pieces: () => AsyncGenerator<Buffer, void>;
}

export function bodyOf(data: FileData): Body {
  if (typeof data === "string") return repeatable(Buffer.from(data));
  if (data instanceof Uint8Array) return repeatable(Buffer.from(data.buffer, data.byteOffset, data.byteLength));
  if (data instanceof ArrayBuffer) return repeatable(Buffer.from(data));
  if (data instanceof Blob) return { isRepeatable: true, pieces: () => piecesOf(readAll(data.stream())) };
  if (data instanceof ReadableStream) return { isRepeatable: false, pieces: () => piecesOf(readAll(data)) };
  // Whoever writes no TypeScript may give anything.
  if (typeof data === "object" && Symbol.asyncIterator in data) {
    return { isRepeatable: false, pieces: () => piecesOf(data) };
  }
  throw new InvalidArgumentError("what is written is text, bytes, a Blob, a stream, or an async iterable of bytes");
}

function repeatable(bytes: Buffer): Body {
  return {
    isRepeatable: true,
    pieces: () => piecesOf([bytes]),
  };
}

async function* piecesOf(
  source: AsyncIterable<Uint8Array | string> | Iterable<Uint8Array>,
): AsyncGenerator<Buffer, void> {
  for await (const chunk of source) {
    const bytes = Buffer.from(chunk);
    for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
  }
}

async function* readAll(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  const reader = stream.getReader();
  try {
    for (;;) {
      const next = await reader.read();
      if (next.done) return;
      yield next.value;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
