/** Messages of a Connect stream: a byte of flags, four of length, and JSON. */
import { RuntimeError } from "../../../base/errors.js";
import { HeldBytes } from "../../../base/held-bytes.js";

const headBytes = 5;
const compressed = 1;
const endOfStream = 2;

/** One message at a time, and nothing held of the next. Neither compressed ones nor an end of the client's. */
export async function* messagesIn(body: AsyncIterable<Uint8Array>, mostBytes: number): AsyncGenerator<Buffer> {
  let held = new HeldBytes();
  /** Of the message, head and all; undefined while its head is not there. */
  let wanted: number | undefined;
  for await (const chunk of body) {
    for (let at = 0; at < chunk.length;) {
      const part = chunk.subarray(at, at + (wanted ?? headBytes) - held.length);
      held.add(part);
      at += part.length;
      if (held.length < headBytes) break;
      wanted ??= wantedBytes(held.all(), mostBytes);
      if (held.length < wanted) continue;
      yield held.all().subarray(headBytes);
      held = new HeldBytes();
      wanted = undefined;
    }
  }
  if (held.length > 0) throw new RuntimeError("invalidArgument", "the stream ends in the middle of a message");
}

function wantedBytes(head: Buffer, mostBytes: number): number {
  const flags = head[0] ?? 0;
  if ((flags & compressed) !== 0) throw new RuntimeError("unimplemented", "compressed messages are not taken");
  if (flags !== 0) throw new RuntimeError("invalidArgument", `a message has the flags ${flags}`);
  const size = head.readUInt32BE(1);
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
