import { expect } from "chai";
import { createLogger } from "../../../src/base/log.js";
import { newBoxId } from "../../../src/base/ids.js";
import { sleep } from "../../../src/base/stage.js";
import { Rest } from "../../../src/vmm/agent/rest.js";
import { watchHealth } from "../../../src/vmm/watch-health.js";

const log = createLogger("error", { write: () => undefined });

/** Runs the watch over an agent that answers as `answers` says, until it gives up or `forMs` have passed. */
async function watched(answers: (asked: number) => boolean, timeoutMs: number, forMs: number, rest = new Rest()) {
  const over = new AbortController();
  let asked = 0;
  let reason: string | undefined;
  const timer = setTimeout(() => {
    over.abort();
  }, forMs);
  await watchHealth({
    id: newBoxId(),
    agent: {
      listSessions: async (signal) => {
        if (!answers(++asked)) await sleep(60_000, signal);
        return [];
      },
      get isResting() {
        return rest.isResting;
      },
      awake: (signal) => rest.awake(signal),
    },
    timeoutMs,
    giveUp: (why) => {
      reason = why;
    },
    over: over.signal,
    log,
  });
  clearTimeout(timer);
  return { asked, reason };
}

describe("the watch over a Box's health", () => {
  it("gives a Box up that has not answered for its whole limit, and says for how long", async () => {
    const { asked, reason } = await watched(() => false, 40, 5_000);
    expect(asked).to.equal(4);
    expect(reason).to.equal("the guest has not answered for 0.04 s");
  });

  it("begins to count anew with each answer, and ends with the Box", async () => {
    const { asked, reason } = await watched((count) => count % 4 === 0, 40, 800);
    expect(asked).to.be.greaterThan(4);
    expect(reason).to.equal(undefined);
  });

  it("asks nothing while the guest rests, and forgets then what was missed before", async () => {
    const rest = new Rest();
    let restedAt = 0;
    const answers = (asked: number): boolean => {
      // The third question is missed because the guest has begun to rest meanwhile.
      if (asked === 3) {
        rest.begin();
        restedAt = performance.now();
        setTimeout(() => {
          rest.end();
        }, 300);
      }
      return asked > 6;
    };
    const { asked, reason } = await watched(answers, 40, 1_500, rest);
    expect(reason).to.equal(undefined);
    expect(asked).to.be.greaterThan(6);
    expect(restedAt).to.be.greaterThan(0);
  });

  it("asks nothing where it is switched off", async () => {
    expect(await watched(() => false, 0, 50)).to.deep.equal({ asked: 0, reason: undefined });
  });
});
