import { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import { expect } from "chai";
import { bodyBytes, inBlocks } from "../../../../src/sandboxes/http/read-body.js";
import { messagesIn } from "../../../../src/sandboxes/e2b/connect/frames.js";
import { bytesOneByOne, memoryOf } from "../../../support/heap.js";

const mib = 1024 * 1024;
const count = mib / 4;

/** A body that stands still behind these pieces, so that what is held of it is there to be measured. */
async function* standing(pieces: Iterable<Buffer>, reached: () => void): AsyncGenerator<Buffer> {
  yield* pieces;
  reached();
  await new Promise(() => undefined);
}

describe("the body of a request", function () {
  this.timeout(20_000); // memory is measured, on a machine that may be busy

  it("is held in about as much memory as it has bytes, however it is cut", async () => {
    const { bytes } = await memoryOf(async () => {
      const message = new IncomingMessage(new Socket());
      let reading: Promise<Buffer> | undefined;
      await new Promise<void>((reached) => {
        message.iterator = () => standing(bytesOneByOne(count), reached);
        reading = bodyBytes(message, 2 * mib);
      });
      return { message, reading };
    });
    expect(bytes).to.be.below(4 * mib);
  });

  it("as messages of a stream is held so, too", async () => {
    const head = Buffer.from([0, 0, 0x20, 0, 0]);
    const { bytes } = await memoryOf(async () => {
      let reading: Promise<unknown> | undefined;
      await new Promise<void>((reached) => {
        const pieces = [head, ...bytesOneByOne(count)][Symbol.iterator]();
        reading = messagesIn(standing({ [Symbol.iterator]: () => pieces }, reached), 4 * mib).next();
      });
      return { reading };
    });
    expect(bytes).to.be.below(4 * mib);
  });

  it("comes in few pieces where each costs its reader something", async () => {
    const sizes: number[] = [];
    const body = async function* (): AsyncGenerator<Buffer> {
      for (const piece of bytesOneByOne(100_000)) yield await Promise.resolve(piece);
    };
    for await (const block of inBlocks(body())) sizes.push(block.length);
    expect(sizes).to.deep.equal([65_536, 34_464]);
  });
});
