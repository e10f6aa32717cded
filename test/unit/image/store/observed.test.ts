import { expect } from "chai";
import { RuntimeError } from "../../../../src/base/errors.js";
import { digest } from "../../../../src/base/ids.js";
import type { PullObserver, PullWatch } from "../../../../src/image/image-store.js";
import { observed } from "../../../../src/image/store/observed.js";

const blob = digest(`sha256:${"0".repeat(64)}`);

function recorder(): { told: string[]; observer: PullObserver } {
  const told: string[] = [];
  const observer: PullObserver = {
    began: (registry) => {
      told.push(`began ${registry}`);
      return {
        received: (bytes) => told.push(`received ${bytes}`),
        ended: (failure) => told.push(`ended ${failure ?? "well"}`),
      };
    },
  };
  return { told, observer };
}

describe("an observed pull", () => {
  it("is told to the observer and to the caller's own watch", async () => {
    const { told, observer } = recorder();
    const own: string[] = [];
    const watch: PullWatch = {
      planned: (layers) => own.push(`planned ${layers.length}`),
      received: (_blob, bytes) => own.push(`received ${bytes}`),
    };
    const result = await observed(observer, "docker.io", watch, (seen) => {
      seen?.planned([]);
      seen?.received(blob, 5);
      return Promise.resolve("image");
    });
    expect(result).to.equal("image");
    expect(told).to.deep.equal(["began docker.io", "received 5", "ended well"]);
    expect(own).to.deep.equal(["planned 0", "received 5"]);
  });

  it("that fails is told by the code, and fails as it did", async () => {
    const { told, observer } = recorder();
    for (const thrown of [new RuntimeError("resourceExhausted", "no space"), new Error("a bug")]) {
      const failing = observed(observer, "a", undefined, () => Promise.reject(thrown));
      expect(await failing.catch((caught: unknown) => caught)).to.equal(thrown);
    }
    expect(told).to.deep.equal(["began a", "ended resourceExhausted", "began a", "ended internal"]);
  });
});
