import { expect } from "chai";
import { ByteQueue } from "../../../src/streaming/byte-queue.js";

const limitBytes = 256 * 1024;

/** How many parts go in before the writer has to wait. */
function partsUntilFull(queue: ByteQueue, part: Uint8Array): number {
  let parts = 0;
  for (; !queue.isFull && parts < 2 * limitBytes; parts += 1) void queue.push(part);
  return parts;
}

describe("a queue of bytes", () => {
  it("is full of single bytes before they cost much more memory than the limit says", () => {
    expect(partsUntilFull(new ByteQueue(limitBytes), Buffer.alloc(1))).to.be.within(500, 4000);
  });

  it("takes what it says of larger parts", () => {
    expect(partsUntilFull(new ByteQueue(limitBytes), Buffer.alloc(16 * 1024))).to.be.within(15, 17);
  });

  it("of single bytes is read without holding up everything", async () => {
    const queue = new ByteQueue(limitBytes);
    const parts = partsUntilFull(queue, Buffer.alloc(1));
    queue.end();
    const startMs = performance.now();
    let bytes = 0;
    for await (const part of queue) bytes += part.length;
    expect(bytes).to.equal(parts);
    expect(performance.now() - startMs).to.be.lessThan(1000);
  });

  it("lets the writer go on when half of it was read", async () => {
    const queue = new ByteQueue(1024);
    let hasRoom = false;
    const room = queue.push(Buffer.alloc(4096)).then(() => (hasRoom = true));
    await Promise.resolve();
    expect(hasRoom).to.equal(false);
    for await (const part of queue) {
      expect(part).to.have.length(4096);
      await room;
      queue.end();
    }
  });
});
