/** One piece of output as it stands in a ring's files: a header, and the bytes. */

/** Of both streams of a process, as the agent numbers and orders them. */
export interface Frame {
  readonly stream: "stdout" | "stderr";
  /** The agent's. */
  readonly sequence: bigint;
  /** Of its first byte in all that the process has written. */
  readonly offset: number;
  readonly data: Uint8Array;
}

/** Mark, stream, two zeros, length (32 bits), sequence and offset (64 each); little-endian. */
export const headerBytes = 24;
/** OutputChunk.data of the agent's contract: what is longer was never written by us. */
const maxDataBytes = 32 * 1024;
const mark = 0xa3;

export function encodeFrame({ stream, sequence, offset, data }: Frame): Buffer {
  const bytes = Buffer.alloc(headerBytes + data.length);
  bytes[0] = mark;
  bytes[1] = stream === "stdout" ? 1 : 2;
  bytes.writeUInt32LE(data.length, 4);
  bytes.writeBigUInt64LE(sequence, 8);
  bytes.writeBigUInt64LE(BigInt(offset), 16);
  bytes.set(data, headerBytes);
  return bytes;
}

/**
 * The frame at a place of a file's bytes. "partial": more bytes are needed to tell, or the end is torn; "broken": this was
 * never a frame.
 */
export function decodeFrame(bytes: Buffer, at: number): Frame | "partial" | "broken" {
  if (bytes.length - at < headerBytes) return "partial";
  const [number, length] = [bytes[at + 1], bytes.readUInt32LE(at + 4)];
  const offset = bytes.readBigUInt64LE(at + 16);
  const isOne = bytes[at] === mark && (number === 1 || number === 2) && length <= maxDataBytes;
  if (!isOne || offset > BigInt(Number.MAX_SAFE_INTEGER)) return "broken";
  const end = at + headerBytes + length;
  if (bytes.length < end) return "partial";
  return {
    stream: number === 1 ? "stdout" : "stderr",
    sequence: bytes.readBigUInt64LE(at + 8),
    offset: Number(offset),
    data: bytes.subarray(at + headerBytes, end),
  };
}

/** Whole frames from the first byte on; `bytes`: how far they go. */
export function decodeFrames(bytes: Buffer): {
  readonly frames: readonly Frame[];
  readonly bytes: number;
  readonly broken: boolean;
} {
  const frames: Frame[] = [];
  for (let at = 0; ;) {
    const frame = decodeFrame(bytes, at);
    if (frame === "partial" || frame === "broken") return { frames, bytes: at, broken: frame === "broken" };
    frames.push(frame);
    at += headerBytes + frame.data.length;
  }
}
