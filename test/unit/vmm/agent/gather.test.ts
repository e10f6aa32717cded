import { expect } from "chai";
import * as fc from "fast-check";
import { Gather } from "../../../../src/vmm/agent/gather.js";

describe("bytes that are gathered into messages", () => {
  it("are all there, in order, each message full but the last", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), fc.integer({ min: 1, max: 16 }), (chunks, size) => {
        const gather = new Gather(size);
        const full = chunks.flatMap((chunk) => [...gather.add(chunk)]);
        const rest = gather.rest();
        expect(full.every(({ length }) => length === size)).to.equal(true);
        expect(rest.length).to.be.below(size);
        expect(Buffer.concat([...full, rest])).to.deep.equal(Buffer.concat(chunks));
        expect(gather.rest()).to.have.length(0);
      }),
    );
  });

  it("are not copied where a chunk is a message", () => {
    const chunk = Buffer.alloc(8);
    const [message] = [...new Gather(4).add(chunk)];
    expect(message?.buffer).to.equal(chunk.buffer);
  });
});
