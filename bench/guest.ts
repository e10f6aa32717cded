/**
 * `bench guest`: what the guest's kernel costs. Processor time of a bare boot with each kernel parameter that could be
 * another way, in turn; and 200,000 system calls in a Box against as many on the host.
 */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { monotonicMs } from "../src/base/clock.js";
import { Daemon } from "../test/support/daemon.js";
import { busybox } from "../test/support/images.js";
import { removePod, runPod, shell, startContainer } from "../test/support/pods.js";
import { bareBooter } from "./bare-boot.js";
import { driverOf } from "../test/support/driver-of.js";
import { machineFacts, percentile, round, row, type Report } from "./report.js";

/** Of most parameters the last one counts: these take back what the driver passes, or add what it does not. */
const variants: Readonly<Record<string, readonly string[]>> = {
  "as it is": [],
  "mitigations=auto": ["mitigations=auto"],
  "dummy.numdummies=1": ["dummy.numdummies=1"],
  "no pages reported": ["initcall_blacklist=virtio_balloon_driver_init"],
};

/** dd(1) reads and writes a byte at a time: two calls each. */
const calls = "dd if=/dev/zero of=/dev/null bs=1 count=100000 2>/dev/null";
const callsRuns = 5;
/** "200,000 system calls, Box / host: at most 8". */
const callsGoal = 8;

export async function benchGuest({ runs }: { readonly runs: number }): Promise<Report> {
  const daemon = await Daemon.start({ images: [await busybox()] });
  const state = await mkdtemp(join(tmpdir(), "a3s-b"));
  try {
    const driver = await driverOf(daemon);
    const bare = await bareBooter(driver, state);
    await bare.boot(); // the first warms the page cache
    const cpuMs = new Map<string, number[]>();
    for (let turn = 0; turn < runs; turn++) {
      for (const [name, parameters] of Object.entries(variants)) {
        cpuMs.set(name, [...(cpuMs.get(name) ?? []), (await bare.boot(parameters)).cpuMs]);
      }
    }
    const { boxMs, hostMs } = await systemCalls(daemon);
    const value = round(percentile(boxMs, 50) / percentile(hostMs, 50));
    return {
      bench: "guest",
      machine: machineFacts(driver),
      rows: [
        ...[...cpuMs].map(([name, values]) => row(`bare boot, processor time: ${name}`, "ms", values)),
        row("200,000 system calls in a Box", "ms", boxMs),
        row("200,000 system calls on the host", "ms", hostMs),
      ],
      ratios: [{ name: "system calls, Box / host", value, goal: callsGoal }],
    };
  } finally {
    await daemon.remove();
    await rm(state, { recursive: true });
  }
}

async function systemCalls(daemon: Daemon): Promise<{ readonly boxMs: number[]; readonly hostMs: number[] }> {
  const boxMs: number[] = [];
  const hostMs: number[] = [];
  const pod = await runPod(daemon);
  try {
    const container = await startContainer(daemon, pod, { command: ["sleep", "1000000"] });
    for (let turn = 0; turn < callsRuns; turn++) {
      // What an exec costs by itself is not the calls'.
      const exec = await timed(() => shell(daemon, container, "true"));
      boxMs.push((await timed(() => shell(daemon, container, calls))) - exec);
      hostMs.push(await timed(() => promisify(execFile)("sh", ["-c", calls])));
    }
  } finally {
    await removePod(daemon, pod);
  }
  return { boxMs, hostMs };
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedMs = monotonicMs();
  await work();
  return monotonicMs() - startedMs;
}
