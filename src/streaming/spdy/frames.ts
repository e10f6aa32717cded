/** SPDY/3.1 frames (SPDY protocol draft 3.1, section 2), as far as Kubernetes' clients use them. */
import { RuntimeError } from "../../base/errors.js";

export const resetStatus = { protocolError: 1, refusedStream: 3, cancel: 5 } as const;

export type Frame =
  /** A frame of any size, or a part of one: `fin` only on the last part. */
  | { readonly type: "data"; readonly streamId: number; readonly fin: boolean; readonly data: Uint8Array }
  | { readonly type: "synStream"; readonly streamId: number; readonly fin: boolean; readonly block: Uint8Array }
  | { readonly type: "synReply"; readonly streamId: number; readonly fin: boolean; readonly block: Uint8Array }
  | { readonly type: "headers"; readonly streamId: number; readonly fin: boolean; readonly block: Uint8Array }
  | { readonly type: "reset"; readonly streamId: number; readonly status: number }
  | { readonly type: "ping"; readonly id: number }
  | { readonly type: "goAway" }
  /** SETTINGS, WINDOW_UPDATE (clients of Kubernetes have no flow control) and what nobody knows. */
  | { readonly type: "ignored" };

const version = 3;
const kinds = { synStream: 1, synReply: 2, reset: 3, ping: 6, goAway: 7, headers: 8 } as const;
const finFlag = 1;
export const frameHeaderBytes = 8;

/** One frame's first 8 bytes. */
export interface FrameHead {
  readonly control: boolean;
  /** Of a control frame. */
  readonly kind: number;
  /** Of a data frame. */
  readonly streamId: number;
  readonly fin: boolean;
  readonly lengthBytes: number;
}

export function parseHead(head: Buffer): FrameHead {
  const first = head.readUInt32BE(0);
  const control = first >>> 31 === 1;
  if (control && ((first >>> 16) & 0x7fff) !== version) throw broken(`version ${String((first >>> 16) & 0x7fff)}`);
  return {
    control,
    kind: control ? first & 0xffff : 0,
    streamId: control ? 0 : first & 0x7fffffff,
    fin: (head.readUInt8(4) & finFlag) !== 0,
    lengthBytes: head.readUIntBE(5, 3),
  };
}

export function parseControl(head: FrameHead, payload: Buffer): Frame {
  const { fin } = head;
  const idAt = (offset: number): number => payload.readUInt32BE(offset) & 0x7fffffff;
  const atLeast = (bytes: number): void => {
    if (payload.length < bytes) throw broken(`a control frame of kind ${String(head.kind)} is too short`);
  };
  switch (head.kind) {
    case kinds.synStream:
      atLeast(10);
      return { type: "synStream", streamId: idAt(0), fin, block: payload.subarray(10) };
    case kinds.synReply:
      atLeast(4);
      return { type: "synReply", streamId: idAt(0), fin, block: payload.subarray(4) };
    case kinds.headers:
      atLeast(4);
      return { type: "headers", streamId: idAt(0), fin, block: payload.subarray(4) };
    case kinds.reset:
      atLeast(8);
      return { type: "reset", streamId: idAt(0), status: payload.readUInt32BE(4) };
    case kinds.ping:
      atLeast(4);
      return { type: "ping", id: payload.readUInt32BE(0) };
    case kinds.goAway:
      return { type: "goAway" };
    default:
      return { type: "ignored" };
  }
}

export function broken(what: string): RuntimeError {
  return new RuntimeError("invalidArgument", what, { stage: "spdy" });
}

function control(kind: number, flags: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(frameHeaderBytes);
  head.writeUInt32BE((0x80000000 | (version << 16) | kind) >>> 0, 0);
  head.writeUInt8(flags, 4);
  head.writeUIntBE(payload.length, 5, 3);
  return Buffer.concat([head, payload]);
}

function words(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, index) => bytes.writeUInt32BE(value >>> 0, index * 4));
  return bytes;
}

export function dataFrame(streamId: number, fin: boolean, data: Uint8Array): Buffer {
  const head = Buffer.alloc(frameHeaderBytes);
  head.writeUInt32BE(streamId, 0);
  head.writeUInt8(fin ? finFlag : 0, 4);
  head.writeUIntBE(data.length, 5, 3);
  return Buffer.concat([head, data]);
}

/** Of clients; here for the tests' one. */
export function synStreamFrame(streamId: number, fin: boolean, block: Uint8Array): Buffer {
  const payload = Buffer.concat([words(streamId, 0), Buffer.alloc(2), block]);
  return control(kinds.synStream, fin ? finFlag : 0, payload);
}

export function synReplyFrame(streamId: number, block: Uint8Array): Buffer {
  return control(kinds.synReply, 0, Buffer.concat([words(streamId), block]));
}

export function resetFrame(streamId: number, status: number): Buffer {
  return control(kinds.reset, 0, words(streamId, status));
}

export function pingFrame(id: number): Buffer {
  return control(kinds.ping, 0, words(id));
}

export function goAwayFrame(lastStreamId: number): Buffer {
  return control(kinds.goAway, 0, words(lastStreamId, 0));
}
