import { expect } from "chai";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { setImmediate } from "node:timers/promises";
import { RuntimeError } from "../../../src/base/errors.js";
import type { BoxExit, BoxHandle } from "../../../src/vmm/box.js";
import { orWhySilent } from "../../../src/vmm/silent-boot.js";
import { eventually } from "../../support/wait.js";

const thrown = new RuntimeError("deadlineExceeded", "no result in 5 ms", { stage: "wait for agent" });
const never = new Promise<void>(() => undefined);

async function told(dialable: Promise<void>, list: BoxHandle["processes"], exit?: BoxExit): Promise<unknown> {
  const exitWithin = async (ms: number): Promise<BoxExit | undefined> => {
    await setImmediate(); // it is told after the channel's end
    expect(ms).to.be.greaterThan(0);
    return exit;
  };
  return await orWhySilent(dialable, { exitWithin, list }, () => Promise.reject(thrown)).catch(
    (error: unknown) => error,
  );
}

describe("a Box whose agent is not heard of", () => {
  it("is told with what its threads do, and whether its channel was there", async () => {
    const sleeper = spawn("sleep", ["1000"], { stdio: "ignore" });
    await once(sleeper, "spawn");
    try {
      await eventually("the sleep", 10_000, async () => {
        const error = await told(never, [{ role: "vmm", pid: sleeper.pid ?? 0, startTime: 0n }]);
        expect(error).to.include({ code: "deadlineExceeded" });
        const asleep =
          /^wait for agent: no result in 5 ms; its channel could not be dialled yet; vmm: sleep S \d+\.\d s( \w+)?$/;
        return asleep.test(error instanceof Error ? error.message : "") || undefined;
      });
    } finally {
      sleeper.kill("SIGKILL");
    }
  });

  it("is told with each thread of a process, and with processes that have gone", async () => {
    const error = await told(Promise.resolve(), [
      { role: "fs", pid: process.pid, startTime: 0n },
      { role: "vmm", pid: 2 ** 22 + 1, startTime: 0n },
    ]);
    expect(String(error)).to.match(/; its channel could be dialled; file server: .+, .+; vmm: gone$/);
  });

  it("is told as it was where a process has ended, which says more", async () => {
    expect(await told(never, [], { reason: "vmm exited with status 1", atNs: 0n })).to.equal(thrown);
  });

  it("has longer to be seen to end where its channel has closed: its memory goes first", async () => {
    const waits: number[] = [];
    for (const code of ["deadlineExceeded", "unavailable"] as const) {
      const exitWithin = (ms: number): Promise<BoxExit> => {
        waits.push(ms);
        return Promise.resolve({ reason: "vmm killed by signal 9", atNs: 0n });
      };
      const failed = (): Promise<never> => Promise.reject(new RuntimeError(code, "the channel"));
      await orWhySilent(never, { exitWithin, list: [] }, failed).catch(() => undefined);
    }
    expect(waits).to.deep.equal([300, 2_000]);
  });
});
