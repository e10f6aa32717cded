import { gzipSync } from "node:zlib";
import {
  SessionState,
  StatsResponse,
  ListSessionsResponse,
  Stream,
  OutputChunk,
} from "../../../src/gen/agent/v1/agent.js";
import { frame, frameTypes, type HostileStream } from "./http2.js";

const mib = 1 << 20;
const kib = 1 << 10;
/** Of a protobuf varint or number: as large as it gets. */
const largest = 2n ** 63n - 1n;

export type Attack = (stream: HostileStream) => Promise<void>;

/** gRPC's frame around a message. */
export function message(bytes: Uint8Array, compressed = false, length = bytes.length): Buffer {
  const head = Buffer.alloc(5);
  head[0] = compressed ? 1 : 0;
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, bytes]);
}

function repeated(element: Uint8Array, bytes: number): Buffer {
  return Buffer.alloc(bytes - (bytes % element.length), element);
}

function answer(bytes: Uint8Array): Attack {
  return async (stream) => {
    await stream.headers();
    await stream.data(bytes);
    await stream.trailers("0");
  };
}

function id(number: number): string {
  return number.toString(16).padStart(64, "0");
}

const exit = { code: 255, signal: 64, exitedAtNs: largest, oomKilled: true };
/** The largest pod that the agent allows. */
const largestSessions = ListSessionsResponse.encode({
  sessions: Array.from({ length: 512 }, (_, session) => ({
    sessionId: id(session),
    state: SessionState.EXITED,
    pid: 2 ** 22,
    createdAtNs: largest,
    startedAtNs: largest,
    exit,
    execIds: Array.from({ length: 8 }, (_, exec) => id(exec)),
  })),
}).finish();

function largestStats(): Uint8Array {
  const pressure = { someNs: largest, fullNs: largest };
  const processes = { processes: largest, descriptors: largest, sockets: largest, openFilesLimit: largest };
  const base = StatsResponse.fromPartial({ sessions: [{}], guest: { interfaces: [{}] } });
  const [session] = base.sessions;
  const [networkInterface] = base.guest?.interfaces ?? [];
  if (session === undefined || networkInterface === undefined) throw new Error("fromPartial has left something out");
  const full = <T extends object>(of: T): T => {
    for (const [name, value] of Object.entries(of)) if (typeof value === "bigint") Reflect.set(of, name, largest);
    return of;
  };
  Object.assign(full(session), { cpuPressure: pressure, memoryPressure: pressure, ioPressure: pressure, processes });
  full(networkInterface);
  return StatsResponse.encode({
    sessions: Array.from({ length: 512 }, (_, number) => ({ ...session, sessionId: id(number) })),
    guest: {
      memoryTotalBytes: largest,
      memoryAvailableBytes: largest,
      interfaces: Array.from({ length: 256 }, () => ({ ...networkInterface, name: "x".repeat(15) })),
    },
  }).finish();
}

const empty = Buffer.alloc(0);
/** Field 1, of no length: an element that costs two bytes. */
const entry = Buffer.from([0x0a, 0]);

/** Legal chunks of one byte each. */
function drip(from: bigint, count: number): Buffer {
  const chunks = Array.from({ length: count }, (_, at) =>
    message(
      OutputChunk.encode({
        sequence: from + BigInt(at),
        stream: Stream.STDOUT,
        timeNs: from + BigInt(at),
        data: Buffer.from("x"),
        end: false,
      }).finish(),
    ),
  );
  return Buffer.concat(chunks);
}

/** By name: what an agent says to whatever it is asked. */
export const attacks = {
  /** An agent as it should be. */
  "nothing much": answer(message(empty)),
  "the largest legal list": answer(message(largestSessions)),
  "the largest legal stats": answer(message(largestStats())),
  "16 MiB of empty entries": answer(message(repeated(entry, 16 * mib))),
  "a message of empty entries within its size": answer(message(repeated(entry, 512 * kib))),
  "64 KiB of empty entries": answer(message(repeated(entry, 64 * kib))),
  "a packed field of small numbers": answer(
    message(Buffer.concat([Buffer.from([0x42, 0xf0, 0xff, 0x03]), Buffer.alloc(65_520, 1)])),
  ),
  "the same field again and again": answer(message(repeated(Buffer.from([0x12, 0]), 512 * kib))),
  zeros: answer(message(Buffer.alloc(512 * kib))),
  "4 GiB announced": async (stream) => {
    await stream.headers();
    await stream.data(message(Buffer.alloc(mib), false, 2 ** 32 - 1));
  },
  "a bomb of gzip": async (stream) => {
    await stream.headers([["grpc-encoding", "gzip"]]);
    await stream.data(message(gzipSync(Buffer.alloc(256 * mib)), true));
    await stream.trailers("0");
  },
  "compressed without a word": answer(message(gzipSync(Buffer.alloc(100)), true)),
  "compressed by something unknown": async (stream) => {
    await stream.headers([["grpc-encoding", "zstd"]]);
    await stream.data(message(Buffer.alloc(100), true));
    await stream.trailers("0");
  },
  "a status text of 60 KiB": async (stream) => {
    await stream.headers();
    await stream.trailers("5", [["grpc-message", "%41".repeat(20_000)]]);
  },
  "headers of 60 KiB": async (stream) => {
    await stream.headers(Array.from({ length: 100 }, (_, at) => [`name-${String(at)}`, "x".repeat(550)] as const));
    await stream.trailers("0");
  },
  "answers without end": async (stream) => {
    await stream.headers();
    const many = Buffer.concat(Array.from({ length: 50_000 }, () => message(empty)));
    for (;;) await stream.data(many);
  },
  "frames of one byte": async (stream) => {
    await stream.headers();
    await stream.data(message(Buffer.alloc(512 * kib), false, mib), 1);
  },
  "pings without end": async (stream) => {
    const many = Buffer.concat(Array.from({ length: 50_000 }, () => frame(frameTypes.ping, 1, Buffer.alloc(8))));
    for (;;) await stream.other(many);
  },
  "window updates without end": async (stream) => {
    const one = Buffer.alloc(4);
    one.writeUInt32BE(1);
    const many = Buffer.concat(Array.from({ length: 50_000 }, () => frame(frameTypes.windowUpdate, 0, one)));
    for (;;) await stream.other(many);
  },
  "output of one byte a chunk": async (stream) => {
    await stream.headers();
    for (let at = 1n; ; at += 50_000n) await stream.data(drip(at, 50_000));
  },
  "output that goes on after its end": async (stream) => {
    await stream.headers();
    const last = { sequence: 1n, stream: Stream.STDOUT, timeNs: 1n, data: empty, end: true };
    await stream.data(message(OutputChunk.encode(last).finish()));
    for (let at = 2n; ; at += 50_000n) await stream.data(drip(at, 50_000));
  },
} satisfies Record<string, Attack>;

export type AttackName = keyof typeof attacks;
