import { expect } from "chai";
import { RuntimeError } from "../../../src/base/errors.js";
import { Tokens } from "../../../src/streaming/tokens.js";
import { command } from "./support.js";

const request = command({}, () => Promise.resolve(0));

describe("tokens", () => {
  it("expire after a minute", () => {
    let nowMs = 0;
    const tokens = new Tokens(() => nowMs);
    const [early, late] = [tokens.issue(request), tokens.issue(request)];
    nowMs = 59_999;
    expect(tokens.redeem("exec", early)).to.equal(request);
    nowMs = 60_000;
    expect(tokens.redeem("exec", late)).to.equal(undefined);
  });

  it("are 1000 at most, and there is room again when they expire", () => {
    let nowMs = 0;
    const tokens = new Tokens(() => nowMs);
    for (let count = 0; count < 1000; count += 1) tokens.issue(request);
    expect(() => tokens.issue(request))
      .to.throw(RuntimeError)
      .with.property("code", "resourceExhausted");
    nowMs = 60_001;
    tokens.issue(request);
  });
});
