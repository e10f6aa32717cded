import { expect } from "chai";
import { setImmediate as turn } from "node:timers/promises";
import { neverAborted } from "../../../../src/base/signals.js";
import { diskLanesOf } from "../../../../src/runtime/logs/disk-lanes.js";

/** Work that ends when it is told to. */
function hanging(): { readonly work: () => Promise<void>; readonly begun: () => boolean; end: () => void } {
  let begun = false;
  let end = (): void => undefined;
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  return {
    work: async () => {
      begun = true;
      await ended;
    },
    begun: () => begun,
    end: () => {
      end();
    },
  };
}

describe("lanes to disks", () => {
  it("let one call at a time go to a disk, in order, and others to another disk meanwhile", async () => {
    const lanes = diskLanesOf(4);
    const [first, second, elsewhere] = [hanging(), hanging(), hanging()];
    const all = [
      lanes.runWhenFree(1, neverAborted, first.work),
      lanes.runWhenFree(1, neverAborted, second.work),
      lanes.runWhenFree(2, neverAborted, elsewhere.work),
    ];
    await turn();
    expect([first, second, elsewhere].map(({ begun }) => begun())).to.deep.equal([true, false, true]);
    first.end();
    await all[0];
    await turn();
    expect(second.begun()).to.equal(true);
    for (const one of [second, elsewhere]) one.end();
    await Promise.all(all);
  });

  it("take half of the threads at most, and give a place on when a call has failed", async () => {
    const lanes = diskLanesOf(5);
    const calls = [hanging(), hanging(), hanging()];
    const all = calls.map(({ work }, device) => lanes.runWhenFree(device, neverAborted, work));
    await turn();
    expect(calls.map(({ begun }) => begun())).to.deep.equal([true, true, false]);
    const failing = lanes
      .runWhenFree(9, neverAborted, () => Promise.reject(new Error("no space")))
      .catch(() => "failed");
    for (const one of calls) one.end();
    await Promise.all(all);
    expect(await failing).to.equal("failed");
    expect(await lanes.runWhenFree(9, neverAborted, () => Promise.resolve("goes on"))).to.equal("goes on");
  });
});
