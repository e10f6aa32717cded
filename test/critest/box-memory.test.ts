/** What a Box takes of the host's memory, over what its programs have and have given up. */
import { readFile } from "node:fs/promises";
import { expect } from "chai";
import { driver, type Daemon } from "../support/daemon.js";
import { runPod, shell, startContainer, vmmPid, type Pod } from "../support/pods.js";
import { sharedDaemon } from "../support/shared-daemon.js";
import { sharedPod } from "../support/shared-pod.js";
import { skipBecause } from "../support/skip.js";
import { eventually, limit } from "../support/wait.js";

const usedMib = 150;
/** Of it, in whole blocks of 2 MiB: what the kernel keeps for the next program is not the host's yet. */
const backMib = 80;

describe("A Box's memory", function () {
  this.timeout(limit(90_000));
  let daemon: Daemon;
  let pod: Pod;
  let containerId: string;
  before(async () => {
    daemon = await sharedDaemon();
  });
  sharedPod(
    () => daemon,
    async () => {
      const resources = { memoryLimitInBytes: 512n << 20n, cpuPeriod: 100_000n, cpuQuota: 100_000n };
      pod = await runPod(daemon, { linux: { resources } });
      containerId = await startContainer(daemon, pod, { command: ["sleep", "36000"] });
      return pod;
    },
  );

  /** proc_pid_smaps_rollup(5): of the VMM, whose own the guest's memory is. */
  async function takenMib(): Promise<number> {
    const text = await readFile(`/proc/${String(await vmmPid(daemon, pod))}/smaps_rollup`, "utf8");
    return Number(/^Pss:\s+(\d+) kB$/m.exec(text)?.[1] ?? "NaN") / 1024;
  }

  it("that a program has given up goes back to the host, and can be used again", async function () {
    if (driver !== "qemu") skipBecause(this, "QEMU's device reports what is free; libkrun has its own");
    const use = `dd if=/dev/zero of=/dev/null bs=${String(usedMib)}M count=1 2>/dev/null`;
    await shell(daemon, containerId, use);
    const used = await takenMib();
    const left = await eventually("memory goes back", 40_000, async () => {
      const now = await takenMib();
      return now < used - backMib ? now : undefined;
    });
    await shell(daemon, containerId, use);
    expect(await takenMib()).to.be.greaterThan(left + backMib / 2);
  });
});
