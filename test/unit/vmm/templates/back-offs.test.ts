import { expect } from "chai";
import { BackOffs } from "../../../../src/vmm/templates/back-offs.js";

describe("templates that could not be made", () => {
  let nowMs: number;
  let backOffs: BackOffs;

  beforeEach(() => {
    nowMs = 1000;
    backOffs = new BackOffs(() => nowMs);
  });

  /** How long one that has just failed is not tried again. */
  function pauseMs(key: string): number {
    backOffs.failed(key);
    const beganMs = nowMs;
    while (!backOffs.mayTry(key)) nowMs += 500;
    return nowMs - beganMs;
  }

  it("are tried after a pause that doubles, up to five minutes; others at once", () => {
    const pauses = Array.from({ length: 8 }, () => pauseMs("a") / 1000);
    expect(pauses).to.deep.equal([5, 10, 20, 40, 80, 160, 300, 300]);
    expect(backOffs.mayTry("b")).to.equal(true);
  });

  it("are forgotten when nobody has asked for them for long: after an upgrade nobody does", () => {
    for (let upgrade = 0; upgrade < 100; upgrade++) {
      backOffs.failed(`key of upgrade ${String(upgrade)}`);
      nowMs += 3_600_000;
    }
    expect(backOffs.size).to.equal(1);
    expect(backOffs.mayTry("another")).to.equal(true);
    expect(backOffs.size).to.equal(0);
  });
});
