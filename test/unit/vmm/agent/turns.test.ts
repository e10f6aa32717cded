import { expect } from "chai";
import { setImmediate as immediate } from "node:timers/promises";
import { limit } from "../../../support/wait.js";
import { nextTurn } from "../../../../src/vmm/agent/turns.js";

function busyFor(ms: number): void {
  const endMs = performance.now() + ms;
  while (performance.now() < endMs);
}

describe("turns of the loop for what agents send", function () {
  this.timeout(limit(20_000));

  it("give way between many calls, as they do within one, and let each of them on", async () => {
    const over = new AbortController();
    const worked = new Array<number>(20).fill(0);
    const calls = worked.map(async (_, call) => {
      for (let step = 0; step < 4; step += 1) {
        await nextTurn();
        busyFor(6);
        worked[call] = step + 1;
      }
    });
    // nobody is let on twice before all others were once
    let turns = 0;
    const others = (async () => {
      while (!over.signal.aborted) {
        await immediate();
        turns += 1;
        expect(Math.max(...worked) - Math.min(...worked)).to.be.at.most(3);
      }
    })();
    await Promise.all(calls);
    over.abort();
    await others;
    expect(worked).to.deep.equal(new Array<number>(20).fill(4));
    // 480 ms of work, in turns of 10 ms and a step at most
    expect(turns).to.be.at.least(20);
  });

  it("cost nothing where there is time", async () => {
    await immediate();
    await immediate();
    expect(nextTurn()).to.equal(undefined);
  });
});
