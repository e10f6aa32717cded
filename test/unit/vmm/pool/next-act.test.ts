import { expect } from "chai";
import { afterClaimMs, longerBackOff, nextAct, type PoolSight } from "../../../../src/vmm/pool/next-act.js";
import type { PoolClass } from "../../../../src/vmm/pool/pool-class.js";

const one: PoolClass = { driver: "qemu", vcpus: 1, memoryMib: 512, count: 2 };
const other: PoolClass = { driver: "qemu", vcpus: 2, memoryMib: 1024, count: 4 };
const sight: PoolSight = {
  ...{ nowMs: 100_000, classes: [one, other], there: new Map(), takenMs: 0, isBusy: false },
  ...{ availableMib: 8_000, leastFreeMib: 1_000, backOffs: new Map() },
};
const act = (change: Partial<PoolSight>): unknown => nextAct({ ...sight, ...change });
const there = (ones: number, others: number): Partial<PoolSight> => ({
  there: new Map([
    ["qemu-1x512", ones],
    ["qemu-2x1024", others],
  ]),
});

describe("what the pool does next", () => {
  it("fills the class that lacks most of its Boxes first", () => {
    expect(act({})).to.deep.equal({ do: "fill", of: one });
    expect(act(there(1, 1))).to.deep.equal({ do: "fill", of: other });
    expect(act(there(1, 3))).to.deep.equal({ do: "fill", of: one });
    expect(act(there(2, 3))).to.deep.equal({ do: "fill", of: other });
    expect(act(there(2, 4))).to.have.property("do", "wait");
  });

  it("waits after a claim, so that the pod has its first container by then", () => {
    expect(act({ takenMs: 99_000 })).to.deep.equal({ do: "wait", ms: afterClaimMs - 1_000 });
    expect(act({ takenMs: 100_000 - afterClaimMs })).to.have.property("do", "fill");
  });

  it("is behind every creation", () => {
    expect(act({ isBusy: true })).to.have.property("do", "wait");
  });

  it("makes none where the host would have less memory left than it is to keep", () => {
    expect(act({ availableMib: 1_200 })).to.deep.include({ do: "wait", for: "memory" });
    expect(act({ availableMib: 1_300 })).to.have.property("do", "fill");
  });

  it("lets one go where the host has less memory than that, and waits where there is none to go", () => {
    expect(act({ availableMib: 999, ...there(1, 0) })).to.deep.equal({ do: "shed" });
    expect(act({ availableMib: 999 })).to.deep.include({ do: "wait", for: "memory" });
    expect(act({ availableMib: 1_000, ...there(1, 0) })).to.have.property("do", "wait");
  });

  it("waits longer after each Box that could not be made: 1 s at first, a minute at last", () => {
    const steps = [];
    let backOff = longerBackOff(undefined, 100_000);
    for (let tries = 0; tries < 8; tries++) {
      steps.push(backOff.ms);
      const backOffs = new Map([["qemu-1x512", backOff]]);
      const alone = { backOffs, classes: [one] };
      expect(act(alone)).to.deep.equal({ do: "wait", ms: backOff.ms });
      expect(act({ ...alone, nowMs: 100_000 + backOff.ms })).to.have.property("do", "fill");
      backOff = longerBackOff(backOff, 100_000);
    }
    expect(steps).to.deep.equal([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
  });

  it("makes Boxes of the other classes while those of one can't be made", () => {
    const backOffs = new Map([["qemu-1x512", { ms: 8_000, untilMs: 108_000 }]]);
    expect(act({ backOffs })).to.deep.equal({ do: "fill", of: other });
    expect(act({ backOffs, ...there(0, 3) })).to.deep.equal({ do: "fill", of: other });
    expect(act({ backOffs, ...there(0, 4) })).to.deep.equal({ do: "wait", ms: 8_000 });
    expect(act({ backOffs, takenMs: 107_000, nowMs: 107_000 })).to.deep.equal({ do: "wait", ms: afterClaimMs });
  });
});
