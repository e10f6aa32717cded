/** Bytes of a client that speaks SPDY, or does not, against what reads them. */
import "../../../support/fuzz.js";
import { expect } from "chai";
import fc from "fast-check";
import { RuntimeError } from "../../../../src/base/errors.js";
import * as frames from "../../../../src/streaming/spdy/frames.js";
import { HeaderReader, HeaderWriter, type Headers } from "../../../../src/streaming/spdy/headers.js";
import { readFrames } from "../../../../src/streaming/spdy/read-frames.js";
import { fuzz } from "../../../support/fuzzing/run.js";
import { settled } from "../../../support/fuzzing/settled.js";

/** What it gives, or that it is no SPDY: anything else fails the test. */
async function attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (thrown) {
    if (!(thrown instanceof RuntimeError) || thrown.code !== "invalidArgument") throw thrown;
    return undefined;
  }
}

// eslint-disable-next-line @typescript-eslint/require-await -- as a socket's bytes come
async function* inPieces(bytes: Buffer, random: () => number, longest: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length;) {
    const length = 1 + Math.floor(random() * longest);
    yield bytes.subarray(at, at + length);
    at += length;
  }
}

/** Parts of one data frame put together again, as far as they have come: where they are cut is the network's. */
async function framesOf(source: AsyncIterable<Uint8Array>): Promise<frames.Frame[]> {
  const all: frames.Frame[] = [];
  for await (const frame of readFrames(source)) {
    const last = all.at(-1);
    if (frame.type !== "data" || last?.type !== "data" || last.streamId !== frame.streamId || last.fin) all.push(frame);
    else all.splice(-1, 1, { ...frame, data: Buffer.concat([last.data, frame.data]) });
  }
  return all;
}

/** The same frame as its sender would write it; undefined for those that we never write. */
function written(frame: frames.Frame): Buffer | undefined {
  switch (frame.type) {
    case "data":
      return frames.dataFrame(frame.streamId, frame.fin, frame.data);
    case "synStream":
      return frames.synStreamFrame(frame.streamId, frame.fin, frame.block);
    case "synReply":
      return frame.fin ? undefined : frames.synReplyFrame(frame.streamId, frame.block);
    case "reset":
      return frames.resetFrame(frame.streamId, frame.status);
    case "ping":
      return frames.pingFrame(frame.id);
    case "headers":
    case "goAway":
    case "ignored":
      return undefined;
  }
}

const someFrames = [
  frames.synStreamFrame(1, false, Buffer.from("a block")),
  frames.synReplyFrame(1, Buffer.from("a block")),
  frames.dataFrame(1, false, Buffer.from("some words")),
  frames.dataFrame(1, true, Buffer.alloc(0)),
  frames.pingFrame(7),
  frames.resetFrame(1, 5),
  frames.goAwayFrame(1),
];
const heads = ["\x80\x03\x00\x01", "\x80\x03\x00\x08", "\x80\x02\x00\x01", "\x00\x00\x00\x00\x00\x00\x00\x00"];

describe("damaged SPDY", () => {
  it("frames are the same however their bytes are cut, and as they would be written, or refused", async function () {
    this.timeout(0);
    await fuzz({
      name: "spdy-frames",
      seeds: [Buffer.concat(someFrames), ...someFrames],
      words: heads,
      tried: async (input, random) => {
        const whole = await attempt(() => framesOf(inPieces(input, () => 0.999_999, Math.max(1, input.length))));
        const pieces = await attempt(() => framesOf(inPieces(input, random, 40)));
        expect(pieces).to.deep.equal(whole);
        let bytes = 0;
        for (const frame of whole ?? []) {
          const again = written(frame);
          if (again === undefined) continue;
          bytes += frame.type === "data" ? frame.data.length : 0;
          expect(await framesOf(inPieces(again, random, 1000))).to.deep.equal([frame]);
        }
        expect(bytes).to.be.at.most(input.length);
        return whole !== undefined;
      },
    });
  });

  it("header blocks are read, or refused, and each of them is answered", async function () {
    this.timeout(0);
    await fuzz({
      name: "spdy-headers",
      seeds: await Promise.all([
        blocksOf([new Map([["streamtype", "stdin"]]), new Map()]),
        blocksOf(
          ["data", "error"].map((type) => new Map(Object.entries({ streamtype: type, port: "80", requestid: "0" }))),
        ),
      ]),
      words: ["\0\0\0\x01", "\xff\xff\xff\xff", "\x78\x9c", "\x03\x00"],
      tried: async (input) => {
        const reader = new HeaderReader();
        try {
          let read = 0;
          for (const block of cut(input)) {
            const headers = await attempt(() => settled("a header block", reader.read(block)));
            if (headers === undefined) return false;
            read += 1;
            expect(headers.size).to.be.at.most(100);
            const length = [...headers].reduce((sum, [name, value]) => sum + name.length + value.length, 0);
            expect(length).to.be.at.most(64 * 1024);
          }
          return read > 0;
        } finally {
          reader.close();
        }
      },
    });
  });

  it("header blocks that are good come out as they went in, one after the other", async () => {
    const codes = fc.array(fc.integer({ min: 1, max: 255 }), { maxLength: 300 });
    const latin1 = codes.map((all) => String.fromCharCode(...all));
    const names = latin1.map((text) => text.toLowerCase());
    const blocks = fc.array(fc.array(fc.tuple(names, latin1), { maxLength: 20 }), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(blocks, async (lists) => {
        const [writer, reader] = [new HeaderWriter(), new HeaderReader()];
        for (const headers of lists.map((list) => new Map(list))) {
          expect(await reader.read(await writer.write(headers))).to.deep.equal(headers);
        }
        writer.close();
        reader.close();
      }),
    );
  });
});

/** A byte each that says how long a block is, 0 for 256. */
async function blocksOf(all: readonly Headers[]): Promise<Buffer> {
  const writer = new HeaderWriter();
  const parts: Buffer[] = [];
  for (const headers of all) {
    const block = await writer.write(headers);
    expect(block.length).to.be.lessThan(256);
    parts.push(Buffer.from([block.length]), block);
  }
  writer.close();
  return Buffer.concat(parts);
}

function* cut(input: Buffer): Generator<Buffer> {
  for (let at = 0; at < input.length;) {
    const length = input.readUInt8(at) === 0 ? 256 : input.readUInt8(at);
    yield input.subarray(at + 1, at + 1 + length);
    at += 1 + length;
  }
}
