/**
 * `bench kernel`: the guest's kernel of our own against that of the package, in turn: a boot, a pod, what an idle Box holds, the
 * file. Both are there after `npm run setup -- test`, for as long as a suite serves the package.
 */
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as after } from "node:timers/promises";
import { monotonicMs } from "../src/base/clock.js";
import type { MachineDriver } from "../src/vmm/box.js";
import { Daemon } from "../test/support/daemon.js";
import { assetsWith, type KernelName, kernelOf } from "../test/support/guest-kernel/assets.js";
import { busybox } from "../test/support/images.js";
import { boxProcesses } from "../test/support/machine.js";
import { removePod, runPod, shell, startContainer } from "../test/support/pods.js";
import { bareBooter, type BareBooter } from "./bare-boot.js";
import { driverOf } from "../test/support/driver-of.js";
import { Figures } from "./figures.js";
import { boxMemory } from "./idle-memory.js";
import { machineFacts, round, type Report } from "./report.js";
import { ticks } from "./ticks.js";

const names: readonly KernelName[] = ["package", "own"];

/** The goals: "boot's CPU at most 0.65 of today's, an idle Box at least 20 MiB smaller, the ELF no larger". */
const cpuGoal = 0.65;
const savedGoalMib = 20;
const sizeGoal = 1;
const idleMs = 10_000;

/** The measured patch: what the driver tells the kernel, taken back. Zero is no frequency, so the kernel measures. */
const timerMeasured = "own, timer measured";

interface Bed {
  readonly bare: BareBooter;
  readonly daemon: Daemon;
}

export async function benchKernel({ runs }: { readonly runs: number }): Promise<Report> {
  const directory = await mkdtemp(join(tmpdir(), "a3s-b"));
  const beds = new Map<KernelName, Bed>();
  const figures = new Figures();
  try {
    for (const name of names) {
      const daemon = await Daemon.start({
        images: [await busybox()],
        config: `[assets]\ndir = "${await assetsWith(name, directory)}"\n`,
      });
      const state = await mkdtemp(join(directory, "s"));
      beds.set(name, { daemon, bare: await bareBooter(await driverOf(daemon), state, kernelOf(name)) });
    }
    await measure(beds, runs, figures);
    for (const [name, { daemon }] of beds) await idleCost(daemon, name, figures);
    const [first] = beds.values();
    if (first === undefined) throw new Error("no kernel to measure");
    return await report(await driverOf(first.daemon), figures);
  } finally {
    for (const { daemon } of beds.values()) await daemon.remove();
    await rm(directory, { recursive: true, force: true });
  }
}

async function measure(beds: ReadonlyMap<KernelName, Bed>, runs: number, figures: Figures): Promise<void> {
  for (const { bare } of beds.values()) await bare.boot(); // the first warms the page cache
  for (let turn = 0; turn < runs; turn++) {
    for (const [name, { bare }] of beds) {
      addBoot(figures, name, await bare.boot());
      if (name === "own") addBoot(figures, timerMeasured, await bare.boot(["lapic_timer_khz=0"]));
    }
    for (const [name, { daemon }] of beds) await onePod(daemon, name, figures);
  }
}

function addBoot(figures: Figures, name: string, { ms, cpuMs }: { readonly ms: number; readonly cpuMs: number }): void {
  figures.add(`bare boot, wall: ${name}`, "ms", ms);
  figures.add(`bare boot, processor time: ${name}`, "ms", cpuMs);
}

async function onePod(daemon: Daemon, name: KernelName, figures: Figures): Promise<void> {
  const beganMs = monotonicMs();
  const pod = await runPod(daemon);
  figures.add(`RunPodSandbox: ${name}`, "ms", monotonicMs() - beganMs);
  const pids = (await boxProcesses(daemon.scope)).map(({ pid }) => pid);
  const { guestKib, overheadKib } = await boxMemory(pids);
  figures.add(`idle Box, memory of its guest: ${name}`, "MiB", guestKib / 1024);
  figures.add(`idle Box, memory in all: ${name}`, "MiB", (guestKib + overheadKib) / 1024);
  const id = await startContainer(daemon, pod);
  const free = /^MemAvailable:\s+(\d+) kB$/m.exec(await shell(daemon, id, "cat /proc/meminfo"))?.[1];
  figures.add(`of 256 MiB, available in the guest: ${name}`, "MiB", Number(free) / 1024);
  await removePod(daemon, pod);
}

/** What a Box with nothing to do takes of a processor: its timer's interrupts. */
async function idleCost(daemon: Daemon, name: KernelName, figures: Figures): Promise<void> {
  const pod = await runPod(daemon);
  await startContainer(daemon, pod, { command: ["sleep", "3600"] });
  const pids = (await boxProcesses(daemon.scope)).map(({ pid }) => pid);
  await after(idleMs);
  const before = await ticks(pids);
  await after(idleMs);
  const perSecond = (10 * ((await ticks(pids)) - before)) / (idleMs / 1000);
  figures.add(`idle Box, processor time of a second: ${name}`, "ms", perSecond);
  await removePod(daemon, pod);
}

async function report(driver: MachineDriver, figures: Figures): Promise<Report> {
  const bytes = async (name: KernelName): Promise<number> => (await stat(kernelOf(name))).size;
  for (const name of names) figures.add(`size of the file: ${name}`, "MB", (await bytes(name)) / 1e6);
  const ratio = (what: string): number => round(figures.p50(`${what}: own`) / figures.p50(`${what}: package`));
  const saved = figures.p50("idle Box, memory in all: package") - figures.p50("idle Box, memory in all: own");
  return {
    bench: "kernel",
    machine: machineFacts(driver),
    rows: figures.rows(),
    ratios: [
      { name: "bare boot, processor time: own / package", value: ratio("bare boot, processor time"), goal: cpuGoal },
      { name: "MiB that an idle Box is smaller by", value: round(saved), goal: savedGoalMib, atLeast: true },
      { name: "size of the file: own / package", value: ratio("size of the file"), goal: sizeGoal },
    ],
  };
}
