/** Messages of a Connect stream: a byte of flags, four of length, and JSON. */
import { RuntimeError } from "../../../base/errors.js";

const headBytes = 5;
const compressed = 1;
const endOfStream = 2;

/** One message at a time, and no more of the next than its chunk brought. Neither compressed ones nor an end of the client's. */
export async function* messagesIn(body: AsyncIterable<Uint8Array>, mostBytes: number): AsyncGenerator<Buffer> {
  let chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    if (chunk.length === 0) continue;
    chunks.push(chunk);
    length += chunk.length;
    if (length >= headBytes && (chunks[0]?.length ?? 0) < headBytes) chunks = [Buffer.concat(chunks, length)];
    for (;;) {
      const wanted = wantedBytes(chunks[0], length, mostBytes);
      if (wanted === undefined || length < wanted) break;
      const all = Buffer.concat(chunks, length);
      const rest = all.subarray(wanted);
      chunks = rest.length === 0 ? [] : [rest];
      length = rest.length;
      yield all.subarray(headBytes, wanted);
    }
  }
  if (length > 0) throw new RuntimeError("invalidArgument", "the stream ends in the middle of a message");
}

/** Of the first message, head and all; undefined while its head is not there. */
function wantedBytes(head: Uint8Array | undefined, length: number, mostBytes: number): number | undefined {
  if (head === undefined || length < headBytes) return undefined;
  const flags = head[0] ?? 0;
  if ((flags & compressed) !== 0) throw new RuntimeError("unimplemented", "compressed messages are not taken");
  if (flags !== 0) throw new RuntimeError("invalidArgument", `a message has the flags ${flags}`);
  const size = new DataView(head.buffer, head.byteOffset, headBytes).getUint32(1);
  if (size > mostBytes) {
    throw new RuntimeError("resourceExhausted", `a message of ${size} bytes; at most ${mostBytes} are taken`);
  }
  return headBytes + size;
}

export function messageFrame(message: unknown): Buffer {
  return framed(0, message);
}

/** The last one. Its status is in it: that of HTTP has long been sent. */
export function endFrame(error?: { readonly code: string; readonly message: string }): Buffer {
  return framed(endOfStream, error === undefined ? {} : { error });
}

function framed(flags: number, message: unknown): Buffer {
  const text = JSON.stringify(message);
  const size = Buffer.byteLength(text);
  const frame = Buffer.allocUnsafe(headBytes + size);
  frame.writeUInt8(flags, 0);
  frame.writeUInt32BE(size, 1);
  frame.write(text, headBytes);
  return frame;
}
