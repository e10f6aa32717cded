/**
 * `bench density`: what idle Boxes take of the node's memory, 20 and 50 of them: that have booted, and that go on from a template;
 * and what comes back of memory that a program has used and given up (free page reporting).
 */
import { setTimeout as delay } from "node:timers/promises";
import { Daemon } from "../test/support/daemon.js";
import { driverOf } from "../test/support/driver-of.js";
import { busybox } from "../test/support/images.js";
import { removePod, runPod, shell, startContainer, type Pod } from "../test/support/pods.js";
import { Figures } from "./figures.js";
import { boxMemory } from "./idle-memory.js";
import { machineFacts, round, type Ratio, type Report } from "./report.js";
import { processesByPod } from "./start.js";

/** Issue: "memory of an idle Box restored (256 MiB guest and 512 MiB): at most 64 MiB, QEMU and its file server in it". */
const goalMib = 64;
/** Guests settle, and report what is free, some seconds after their last work. */
const settleMs = 8_000;
const starts = ["boot", "template"] as const;
const sizes = [
  { count: 20, memoryMib: 256 },
  { count: 20, memoryMib: 512 },
  { count: 50, memoryMib: 512 },
] as const;
/** One buffer, filled and given up with its program: the guest's kernel alone knows that its pages are free. */
const use = "dd if=/dev/zero of=/dev/null bs=150M count=1 2>/dev/null";
const reportedRuns = 3;

export async function benchDensity(): Promise<Report> {
  const figures = new Figures();
  let driver = "";
  for (const start of starts) {
    const daemon = await Daemon.start({ images: [await busybox()], config: `[sandbox]\nstart = "${start}"\n` });
    try {
      driver = await driverOf(daemon);
      for (const size of sizes) await idleBoxes(daemon, start, size, figures);
      if (start === "boot") await reported(daemon, figures);
    } finally {
      await daemon.remove();
    }
  }
  const ratio = (memoryMib: number, count: number): Ratio => ({
    name: `idle Box of ${String(memoryMib)} MiB of ${String(count)}, restored / ${String(goalMib)} MiB, p50`,
    value: round(figures.p50(nameOf("template", { count, memoryMib }, "all")) / goalMib),
    goal: 1,
  });
  return {
    bench: "density",
    machine: machineFacts(driver),
    rows: figures.rows(),
    ratios: [...sizes.map(({ memoryMib, count }) => ratio(memoryMib, count))],
  };
}

type Size = Readonly<Record<"count" | "memoryMib", number>>;

function nameOf(start: (typeof starts)[number], { count, memoryMib }: Size, what: "guest" | "all"): string {
  const how = start === "boot" ? "booted" : "restored";
  const of = what === "guest" ? "its guest" : "guest, VMM and file server";
  return `${how}, one of ${String(count)} of ${String(memoryMib)} MiB: ${of}`;
}

async function runSized(daemon: Daemon, memoryMib: number): Promise<Pod> {
  const memoryLimitInBytes = BigInt(memoryMib) << 20n;
  return await runPod(daemon, {
    linux: { resources: { memoryLimitInBytes, cpuPeriod: 100_000n, cpuQuota: 100_000n } },
  });
}

async function idleBoxes(daemon: Daemon, start: (typeof starts)[number], size: Size, figures: Figures): Promise<void> {
  const pods: Pod[] = [];
  try {
    if (start === "template") {
      await removePod(daemon, await runSized(daemon, size.memoryMib)); // has it made
      await daemon.machine(); // waits until it is
    }
    while (pods.length < size.count) pods.push(await runSized(daemon, size.memoryMib));
    await delay(settleMs);
    for (const pids of await processesByPod(daemon, pods)) {
      const { guestKib, overheadKib } = await boxMemory(pids);
      figures.add(nameOf(start, size, "guest"), "MiB", guestKib / 1024);
      figures.add(nameOf(start, size, "all"), "MiB", (guestKib + overheadKib) / 1024);
    }
  } finally {
    await Promise.all(pods.map((pod) => removePod(daemon, pod)));
  }
}

async function reported(daemon: Daemon, figures: Figures): Promise<void> {
  const pod = await runSized(daemon, 512);
  try {
    const containerId = await startContainer(daemon, pod, { command: ["sleep", "1000000"] });
    const add = async (when: string): Promise<void> => {
      const [pids = []] = await processesByPod(daemon, [pod]);
      figures.add(`booted, with a container, ${when}: its guest`, "MiB", (await boxMemory(pids)).guestKib / 1024);
    };
    for (let turn = 0; turn < reportedRuns; turn++) {
      await delay(settleMs);
      await add("before 150 MiB are used");
      await shell(daemon, containerId, use);
      await add("right after");
      await delay(settleMs);
      await add(`${String(settleMs / 1000)} s later`);
    }
  } finally {
    await removePod(daemon, pod);
  }
}
