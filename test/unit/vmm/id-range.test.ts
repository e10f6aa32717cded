import { expect } from "chai";
import { mappedRanges, rangeWithin } from "../../../src/vmm/id-range.js";

const usual = { first: 0x7000_0000, count: 0x0ff0_0000 };
const within = (text: string): unknown => rangeWithin(usual, mappedRanges(text));

describe("the users of Boxes", () => {
  it("are those that nobody of the host has, where all of the host's are mapped", () => {
    expect(within("         0          0 4294967295\n")).to.deep.equal(usual);
  });

  it("are ones of the container where it has 65,536, none of them a system's or nobody's", () => {
    expect(within("         0     100000      65536\n")).to.deep.equal({ first: 20_000, count: 40_000 });
    expect(within("0 1000 1\n1 100000 65535\n")).to.deep.equal({ first: 20_000, count: 40_000 });
  });

  it("are none where the namespace has too few, or what it has can't be read", () => {
    for (const text of ["0 1000 1\n", "0 100000 59999\n", "30000 100000 65536\n", "", "a b c\n", "0 0 -1\n"]) {
      expect(within(text), text).to.equal(undefined);
    }
  });
});
