/** A process that makes a sandbox fails, or dies, while the sandbox's disk is the host's to see. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { loopFiles, mountsIn } from "../../support/bounded-disks.js";
import { FaultDirectory, type Fault } from "../../support/faults/fault-directory.js";
import { projectDirectory } from "../../support/project.js";
import { makeBase, openCore } from "../../support/sandboxes/open-core.js";
import { eventually, limit } from "../../support/wait.js";

/** As `core-host.ts` ends: 1 where it has not made the sandbox, and taken all back. */
async function madeIn(base: string, faults: FaultDirectory, fault: Fault): Promise<number | NodeJS.Signals> {
  await faults.arm(fault);
  const wanted = JSON.stringify({ diskMib: 64 });
  const child = spawn(process.execPath, ["--import=tsx", "test/support/sandboxes/core-host.ts", base, wanted], {
    cwd: projectDirectory,
    stdio: "ignore",
    env: { ...process.env, A3S_FAULTS: faults.path },
  });
  const left = once(child, "exit", { signal: AbortSignal.timeout(limit(180_000)) });
  try {
    await left;
  } finally {
    child.kill("SIGKILL");
  }
  expect(faults.spent, `${fault.kind} ${fault.place} has come`).to.equal(true);
  return child.signalCode ?? child.exitCode ?? -1;
}

describe("the disk of a sandbox that is not made to its end", function () {
  this.timeout(limit(360_000));

  const cells: readonly (readonly [Fault, number | NodeJS.Signals])[] = [
    [{ kind: "fail", place: "begin detach snapshot" }, 1],
    [{ kind: "die", place: "end prepare snapshot" }, "SIGKILL"],
  ];
  for (const [fault, end] of cells) {
    it(`is gone with all that it was made of: ${fault.kind} at ${fault.place}`, async () => {
      const base = await makeBase();
      await using faults = await FaultDirectory.make();
      expect(await madeIn(base, faults, fault)).to.equal(end);
      const next = await openCore(base);
      try {
        await eventually("nothing of it is left", 60_000, async () => {
          const places = await readdir(join(base, "root/images/containers"));
          const left = [...places, ...(await loopFiles(base)), ...(await mountsIn(join(base, "root")))];
          return left.length === 0 && next.engine.sandboxes.all().length === 0 ? true : undefined;
        });
      } finally {
        await next.remove();
      }
    });
  }
});
