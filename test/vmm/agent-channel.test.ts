/** The channel to a real guest: that it never sleeps with work to do, and what becomes of a guest that abuses it. */
import { expect } from "chai";
import { rm } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { newContainerId } from "../../src/base/ids.js";
import type { Box } from "../../src/vmm/box.js";
import { boxDirectoryAt } from "../../src/vmm/box-directory.js";
import { attacks } from "../support/hostile-agent/attacks.js";
import { HostileConnection } from "../support/hostile-agent/http2.js";
import { skipBecause } from "../support/skip.js";
import { limit } from "../support/wait.js";
import { BoxBench, within } from "./bench-of-boxes.js";

/** 20,000 by hand, `A3S_CHANNEL_CPUS=1,2,4` too: one wake-up in a few thousand was lost. */
const byHand = process.env["A3S_CHANNEL_CALLS"];
const callCount = Number(byHand ?? "2000");
const greetingCount = Number(process.env["A3S_CHANNEL_GREETINGS"] ?? "40");
const processors = (process.env["A3S_CHANNEL_CPUS"] ?? "2").split(",").map(Number);
/** A call whose wake-up is lost sleeps until it is given up, for 10 s; a busy machine keeps one waiting for a second or two. */
const longestMs = byHand === undefined ? 5000 : 1500;

function spread(times: readonly number[]): string {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (part: number): string => (sorted[Math.floor(part * (sorted.length - 1))] ?? 0).toFixed(1);
  return `p50, p99, max ${at(0.5)}, ${at(0.99)}, ${at(1)} ms`;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const beganMs = performance.now();
  await work();
  return performance.now() - beganMs;
}

describe("the channel to an agent in a Box", function () {
  this.timeout(limit(120_000 + callCount * 50));
  let bench: BoxBench;
  before(async () => {
    bench = await BoxBench.open();
  });
  after(async () => {
    await bench[Symbol.asyncDispose]();
  });

  for (const vcpus of processors) {
    it(`loses no wake-up in ${callCount} calls, one after the other, of a guest with ${vcpus} vCPUs`, async () => {
      const box = await bench.boot({ vcpus });
      const times: number[] = [];
      for (let call = 0; call < callCount; call++) {
        times.push(await timed(() => box.agent.listSessions(within(10_000))));
      }
      process.stdout.write(`      ${callCount} calls, ${vcpus} vCPUs: ${spread(times)}\n`);
      expect(Math.max(...times)).to.be.below(limit(longestMs));
      await bench.discard(box.id);
    });
  }

  it(`answers each of ${greetingCount} greetings, each soon after the last host has gone`, async function () {
    const box = await bench.boot({ vcpus: 2 });
    if (box.handle.driver !== "qemu") return skipBecause(this, "only a virtio port has no connections of its own");
    const { agentSocket } = boxDirectoryAt(box.handle.directory);
    box.agent.hangUp();
    const times: number[] = [];
    for (let greeting = 0; greeting < greetingCount; greeting++) {
      times.push(await timed(() => greet(agentSocket, greeting.toString(16).padStart(24, "0"))));
    }
    process.stdout.write(`      ${greetingCount} greetings: ${spread(times)}\n`);
    expect(Math.max(...times)).to.be.below(limit(longestMs));
    await bench.discard(box.id);
  });

  it("ends with the Box when the agent breaks its contract, and the Box's end says so", async () => {
    const box = await bench.boot();
    const { agentSocket } = boxDirectoryAt(box.handle.directory);
    await rm(agentSocket);
    const sockets = new Set<Socket>();
    const hostile = createServer((socket) => {
      sockets.add(socket);
      return new HostileConnection(socket, attacks["64 KiB of empty entries"]);
    });
    await new Promise<void>((resolve) => hostile.listen(agentSocket, resolve));
    try {
      const waiting = failureOf(box.agent.wait({ sessionId: newContainerId(), execId: "" }, within(30_000)));
      box.agent.hangUp();
      expect(await failureOf(box.agent.listSessions(within(30_000)))).to.have.property("code", "brokenContract");
      expect(await waiting).to.have.property("code", "brokenContract");
      expect((await exitOf(box)).reason).to.match(
        /^agent: the guest's agent breaks its contract: more than .+ in an answer/,
      );
      expect(await bench.processes()).to.deep.equal([]);
    } finally {
      for (const socket of sockets) socket.destroy();
      hostile.close();
    }
  });
});

async function exitOf(box: Box): Promise<{ readonly reason: string }> {
  const exit = await box.exited;
  await box.stop(0, within(20_000));
  return exit;
}

async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
    return undefined;
  } catch (thrown) {
    return thrown;
  }
}

/** As a host that is gone as soon as it was answered. */
async function greet(path: string, nonce: string): Promise<void> {
  const socket = connect(path);
  const answer = `AGENT ${nonce}\n`;
  let heard = "";
  try {
    await new Promise<void>((resolve, reject) => {
      const tooLong = setTimeout(() => {
        reject(new Error(`greeting ${nonce} was not answered; heard ${JSON.stringify(heard.slice(-200))}`));
      }, limit(10_000));
      socket.on("error", reject);
      socket.setEncoding("latin1").on("data", (text: string) => {
        heard += text;
        if (!heard.includes(answer)) return;
        clearTimeout(tooLong);
        resolve();
      });
      socket.write(`HOST ${nonce}\n`);
    });
  } finally {
    socket.destroy();
  }
}
