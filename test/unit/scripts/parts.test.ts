import { expect } from "chai";
import { describe, it } from "mocha";
import { countsOf } from "../../../scripts/test/parts.js";

describe("the sum of the tests", () => {
  it("takes mocha's closing lines", () => {
    const output = "  12 passing (3s)\n  2 pending\n  1 failing\n\n  1) a test says 99 passing\n";
    expect(countsOf({ status: 1, output })).to.deep.equal({ passed: 12, failed: 1, skipped: 2 });
  });

  it("takes the nested VM's line", () => {
    const output = "  5 passing (1m)\nkrun: 5 passed, 0 failed, 3 skipped in 80 s\n";
    expect(countsOf({ status: 0, output })).to.deep.equal({ passed: 5, failed: 0, skipped: 3 });
  });

  it("counts a part without tests as one", () => {
    expect(countsOf({ status: 0, output: "all clean" })).to.deep.equal({ passed: 1, failed: 0, skipped: 0 });
    expect(countsOf({ status: 2, output: "" })).to.deep.equal({ passed: 0, failed: 1, skipped: 0 });
  });

  it("counts a failure when all tests pass but the part does not", () => {
    expect(countsOf({ status: 1, output: "  3 passing (1s)\n" })).to.deep.equal({ passed: 3, failed: 1, skipped: 0 });
  });
});
