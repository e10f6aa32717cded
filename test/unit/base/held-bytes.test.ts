import { expect } from "chai";
import { HeldBytes } from "../../../src/base/held-bytes.js";
import { bytesOneByOne, memoryOf } from "../../support/heap.js";

const mib = 1024 * 1024;
const count = mib / 4;

describe("bytes that are held", function () {
  this.timeout(20_000); // memory is measured, on a machine that may be busy

  it("are those that came, in their order, in pieces of any size", () => {
    const all = Buffer.from(Array.from({ length: 300_000 }, (_, at) => at % 251));
    for (const sizes of [[1, 7, 4095, 4096, 4097], [100_000], [299_999, 1], [0, 3]]) {
      const held = new HeldBytes();
      for (let at = 0, turn = 0; at < all.length; turn += 1) {
        const size = sizes[turn % sizes.length] ?? 1;
        held.add(all.subarray(at, at + size));
        at += size;
      }
      expect(held.length).to.equal(all.length);
      expect(held.all().equals(all)).to.equal(true);
    }
    expect(new HeldBytes().all().length).to.equal(0);
  });

  it("go on where they were looked at", () => {
    const held = new HeldBytes();
    held.add(Buffer.from("ab"));
    expect(held.all().toString()).to.equal("ab");
    held.add(Buffer.from("cd"));
    expect(held.all().toString()).to.equal("abcd");
  });

  it("take about as much memory as they are, also where each came alone", async () => {
    const { bytes, result } = await memoryOf(() => {
      const held = new HeldBytes();
      for (const piece of bytesOneByOne(count)) held.add(piece);
      return held;
    });
    expect(result.length).to.equal(count);
    expect(bytes).to.be.below(4 * mib);
  });
});
