import { expect } from "chai";
import { durationMs } from "../../../../src/image/registry/duration.js";

describe("durationMs", () => {
  for (const [text, ms] of [
    ["5s", 5000],
    ["1m30s", 90_000],
    ["1.5h", 5_400_000],
    ["500ms", 500],
    [".5s", 500],
    ["5", undefined],
    ["", undefined],
    ["5 s", undefined],
    ["-5s", undefined],
    ["5sm", undefined],
  ] as const) {
    it(`reads ${JSON.stringify(text)} as ${String(ms)}`, () => {
      expect(durationMs(text)).to.equal(ms);
    });
  }
});
