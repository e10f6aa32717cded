import { expect } from "chai";
import { retryAfterMs } from "../../../../src/image/registry/retry-after.js";

describe("retryAfterMs", () => {
  it("reads seconds and dates", () => {
    expect(retryAfterMs("2")).to.equal(2000);
    expect(retryAfterMs(new Date(Date.now() - 5000).toUTCString())).to.equal(0);
    expect(retryAfterMs(new Date(Date.now() + 30_000).toUTCString())).to.be.within(28_000, 30_000);
    expect(retryAfterMs("")).to.equal(undefined);
    expect(retryAfterMs("soon")).to.equal(undefined);
  });
});
