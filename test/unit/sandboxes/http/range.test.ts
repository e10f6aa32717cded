import { expect } from "chai";
import { rangeAsked } from "../../../../src/sandboxes/http/range.js";

describe("a range that is asked for of a file", () => {
  it("is one of its bytes, and what is no such header asks for all of it", () => {
    expect(rangeAsked("bytes=2-4", 10)).to.deep.equal({ offset: 2, length: 3 });
    expect(rangeAsked("bytes=2-", 10)).to.deep.equal({ offset: 2, length: 8 });
    expect(rangeAsked("bytes=-3", 10)).to.deep.equal({ offset: 7, length: 3 });
    expect(rangeAsked("bytes=-30", 10)).to.deep.equal({ offset: 0, length: 10 });
    expect(rangeAsked("bytes=2-400", 10)).to.deep.equal({ offset: 2, length: 8 });
    for (const header of ["bytes=10-", "bytes=-0"]) expect(rangeAsked(header, 10), header).to.equal("unsatisfiable");
    for (const header of [
      undefined,
      "",
      "bytes=-",
      "bytes=4-2",
      "bytes=0-1,3-4",
      `bytes=${"9".repeat(30)}-`,
      "x=1-2",
    ]) {
      expect(rangeAsked(header, 10), header).to.equal(undefined);
    }
  });
});
