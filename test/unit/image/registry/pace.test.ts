import { expect } from "chai";
import { setTimeout as delay } from "node:timers/promises";
import { paced, TooSlow } from "../../../../src/image/registry/pace.js";

async function* drip(bytes: number, everyMs: number, times: number): AsyncGenerator<Uint8Array> {
  for (let time = 0; time < times; time += 1) {
    await delay(everyMs);
    yield Buffer.alloc(bytes);
  }
}

async function sizeOf(body: AsyncIterable<Uint8Array>, workMs = 0): Promise<number> {
  let size = 0;
  for await (const chunk of body) {
    size += chunk.byteLength;
    if (workMs > 0) await delay(workMs);
  }
  return size;
}

describe("the pace of a body", () => {
  it("of a byte now and then is too slow after the stall limit, however often one comes", async () => {
    const thrown = await sizeOf(paced(drip(1, 5, 1000), 100)).catch((caught: unknown) => caught);
    expect(thrown).to.be.instanceOf(TooSlow);
    expect(thrown).to.have.property("bytes").that.is.within(1, 25);
  });

  it("of 64 KiB within the limit is enough for ever", async () => {
    expect(await sizeOf(paced(drip(32 * 1024, 5, 60), 100))).to.equal(60 * 32 * 1024);
  });

  it("is the sender's alone: a slow disk makes none too slow", async () => {
    expect(await sizeOf(paced(drip(1, 0, 10), 100), 25)).to.equal(10);
  });
});
