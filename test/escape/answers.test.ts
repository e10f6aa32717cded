/** An agent that has been taken over answers every method with the most that it can: the daemon's own client asks it. */
import { expect } from "chai";
import { setTimeout as delay } from "node:timers/promises";
import { messageOf, RuntimeError } from "../../src/base/errors.js";
import type { AgentClient } from "../../src/vmm/agent/agent-client.js";
import { connectAgent } from "../../src/vmm/agent/connect-agent.js";
import { attacks, type AttackName } from "../support/hostile-agent/attacks.js";
import { calls } from "../support/hostile-agent/calls.js";
import { LoopWatch } from "../support/hostile-agent/loop-watch.js";
import { HostileAgents } from "../support/hostile-agent/process.js";
import { limit } from "../support/wait.js";

const mib = 1 << 20;
/** `A3S_HOSTILE_MINUTES=10` for long. */
const attackMs = Number(process.env["A3S_HOSTILE_MINUTES"] ?? "0.1") * 60_000;
/** As many Boxes at once. */
const lanes = 4;
/** What arrives together is handed on in slices (vmm/agent/sliced-socket): frames of one byte took up to 125 ms before. */
const longestTurnMs = 100;
const mostGrowthMib = 96;

/** Nothing of these is legal in an answer of any method. */
const outrageous = [
  "16 MiB of empty entries",
  "a message of empty entries within its size",
  "64 KiB of empty entries",
  "the same field again and again",
  "zeros",
  "4 GiB announced",
  "compressed without a word",
  "compressed by something unknown",
  "window updates without end",
] as const satisfies readonly AttackName[];

async function withClient<T>(path: string, use: (client: AgentClient) => Promise<T>): Promise<T> {
  const client = connectAgent({ socketPath: path, booting: null }, "box");
  try {
    return await use(client);
  } finally {
    client.close("the test is over");
  }
}

async function failureOf(call: Promise<unknown>): Promise<unknown> {
  try {
    await call;
    return undefined;
  } catch (thrown) {
    return thrown;
  }
}

function at(part: number, sorted: readonly number[]): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0;
}

describe("an agent that answers everything at its largest", function () {
  this.timeout(limit(120_000) + attackMs);
  let hostile: HostileAgents;
  let honest: HostileAgents;
  before(async () => {
    [hostile, honest] = await Promise.all([HostileAgents.start(), HostileAgents.start()]);
  });
  after(async () => {
    await hostile[Symbol.asyncDispose]();
    await honest[Symbol.asyncDispose]();
  });

  for (const attack of outrageous) {
    it(`breaks its contract with ${attack}, whatever it was asked: the channel has ended and says why`, async () => {
      const ask = async ([name, call]: (typeof all)[number]): Promise<void> => {
        await withClient(hostile.socketOf(attack), async (client) => {
          const failure = await failureOf(call(client, AbortSignal.timeout(limit(10_000))));
          expect(failure, name).to.be.instanceOf(RuntimeError).with.property("code", "brokenContract");
          expect(client.broken.aborted, name).to.equal(true);
          expect(client.broken.reason, name).to.have.property("message").that.includes("breaks its contract");
          const next = await failureOf(client.listSessions(AbortSignal.timeout(limit(10_000))));
          expect(next, name).to.have.property("code", "brokenContract");
        });
      };
      const all = Object.entries(calls);
      await Promise.all(all.map(ask));
    });
  }

  it("outlives messages that are compressed, whatever with", async () => {
    for (const attack of ["compressed without a word", "compressed by something unknown", "a bomb of gzip"] as const) {
      const before = process.memoryUsage().rss;
      await withClient(hostile.socketOf(attack), async (client) => {
        const failure = await failureOf(client.listSessions(AbortSignal.timeout(limit(10_000))));
        expect(failure, attack).to.have.property("code", "brokenContract");
      });
      expect((process.memoryUsage().rss - before) / mib).to.be.below(mostGrowthMib);
    }
  });

  it("is not cut short where it is honest: the largest pod's lists and stats are taken", async () => {
    await withClient(hostile.socketOf("the largest legal list"), async (client) => {
      const sessions = await client.listSessions(AbortSignal.timeout(limit(10_000)));
      expect(sessions).to.have.length(512);
      expect(sessions.flatMap(({ execIds }) => execIds)).to.have.length(4096);
    });
    await withClient(hostile.socketOf("the largest legal stats"), async (client) => {
      const everything = { sessionId: "", processes: true, brief: false };
      const { sessions, guest } = await client.stats(everything, AbortSignal.timeout(limit(10_000)));
      expect(sessions).to.have.length(512);
      expect(guest?.interfaces).to.have.length(256);
    });
  });

  it("keeps the daemon from nothing: its loop turns, its memory stays, another Box's calls are answered as ever", async () => {
    await attackFor(hostile, 1500); // code is compiled, buffers are made
    using watch = new LoopWatch();
    const before = process.memoryUsage().rss;
    const [, times] = await Promise.all([attackFor(hostile, attackMs), callsFor(honest, attackMs)]);
    times.sort((a, b) => a - b);
    const grownMib = (process.memoryUsage().rss - before) / mib;
    const figures = [0.5, 0.99, 1].map((part) => at(part, times).toFixed(1)).join(", ");
    process.stdout.write(
      `      longest turn ${watch.worstMs.toFixed(0)} ms; ${grownMib.toFixed(0)} MiB more; ` +
        `${times.length} calls of another Box: p50, p99, max ${figures} ms\n`,
    );
    expect(watch.worstMs).to.be.below(longestTurnMs);
    expect(grownMib).to.be.below(mostGrowthMib);
    expect(at(0.99, times)).to.be.below(limit(1000));
    expect(at(1, times)).to.be.below(limit(5000));
  });
});

/** Each attack on each method in turn, as many at once as there are lanes. */
async function attackFor(hostile: HostileAgents, ms: number): Promise<void> {
  const endMs = performance.now() + ms;
  const names = Object.keys(attacks).filter((name): name is AttackName => name in attacks);
  const pairs = Object.values(calls).flatMap((call) => names.map((name) => ({ name, call })));
  const lane = async (first: number): Promise<void> => {
    // A step that has no divisor in common with the number of pairs comes to each of them.
    for (let at = first; performance.now() < endMs; at += 101) {
      const pair = pairs[at % pairs.length];
      if (pair === undefined) return;
      await withClient(hostile.socketOf(pair.name), async (client) => {
        await failureOf(pair.call(client, AbortSignal.timeout(400)));
      });
    }
  };
  await Promise.all(Array.from({ length: lanes }, (_, number) => lane(number * 13)));
}

/** How long each took. One that fails is as bad as one that is never answered, and is told with the time at which it began. */
async function callsFor(honest: HostileAgents, ms: number): Promise<number[]> {
  const endMs = performance.now() + ms;
  const times: number[] = [];
  await withClient(honest.socketOf("nothing much"), async (client) => {
    while (performance.now() < endMs) {
      const beganMs = performance.now();
      const failure = await failureOf(client.listSessions(AbortSignal.timeout(limit(10_000))));
      if (failure !== undefined) {
        const atS = ((beganMs - endMs + ms) / 1000).toFixed(0);
        process.stdout.write(
          `      after ${atS} s: ${messageOf(failure)}, ${(performance.now() - beganMs).toFixed(0)} ms\n`,
        );
      }
      times.push(performance.now() - beganMs);
      await delay(10);
    }
  });
  return times;
}
