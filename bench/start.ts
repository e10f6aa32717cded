/** `bench start`: what it costs to start a pod, against the least that its VM could cost. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { watch } from "node:fs";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monotonicMs } from "../src/base/clock.js";
import type { MachineDriver } from "../src/vmm/box.js";
import { runtime } from "../test/support/cri-client.js";
import { Daemon } from "../test/support/daemon.js";
import { busybox } from "../test/support/images.js";
import { boxProcesses, residentKib } from "../test/support/machine.js";
import { containerConfig, podConfig, removePod, runPod, type Pod } from "../test/support/pods.js";
import { bareBooter } from "./bare-boot.js";
import { driverOf } from "../test/support/driver-of.js";
import { boxMemory } from "./idle-memory.js";
import { machineFacts, percentile, round, row, type Report } from "./report.js";

/** The foundation's acceptance: "RunPodSandbox p50 at most 1.5 times the bare boot". */
const runPodGoal = 1.5;
/** The foundation's acceptance: "the daemon under 150 MiB with 20 pods". */
const daemonGoalMib = 150;
const podsForMemory = 20;

interface Measured {
  readonly bareMs: number[];
  readonly runPodMs: number[];
  readonly firstOutputMs: number[];
  readonly stagesMs: Map<string, number[]>;
}

export async function benchStart({ runs }: { readonly runs: number }): Promise<Report> {
  const daemon = await Daemon.start({ images: [await busybox()] });
  const state = await mkdtemp(join(tmpdir(), "a3s-b"));
  try {
    const driver = await driverOf(daemon);
    const bare = await bareBooter(driver, state);
    const measured: Measured = { bareMs: [], runPodMs: [], firstOutputMs: [], stagesMs: new Map() };
    await bare.boot(); // the first of each warms the page cache
    await onePod(daemon, { bareMs: [], runPodMs: [], firstOutputMs: [], stagesMs: new Map() });
    for (let turn = 0; turn < runs; turn++) {
      measured.bareMs.push((await bare.boot()).ms);
      await onePod(daemon, measured);
    }
    return await report(daemon, driver, measured);
  } finally {
    await daemon.remove();
    await rm(state, { recursive: true });
  }
}

async function report(daemon: Daemon, driver: MachineDriver, measured: Measured): Promise<Report> {
  const { bareMs, runPodMs, firstOutputMs, stagesMs } = measured;
  const memory = await memoryOfMany(daemon);
  const rows = [
    row("bare boot", "ms", bareMs),
    row("RunPodSandbox", "ms", runPodMs),
    row("pod to first output", "ms", firstOutputMs),
    ...[...stagesMs].map(([name, values]) => row(`  stage: ${name}`, "ms", values)),
    row("idle Box, guest memory", "MiB", memory.guestMib),
    row("idle Box, memory over its guest's own", "MiB", memory.overheadMib),
    row(`daemon with ${podsForMemory} pods`, "MiB", [memory.daemonMib]),
  ];
  const bareP50 = percentile(bareMs, 50);
  const ratio = (name: string, values: readonly number[], goal: number) => ({
    name,
    value: round(percentile(values, 50) / bareP50),
    goal,
  });
  const daemonValue = round(memory.daemonMib / daemonGoalMib);
  return {
    bench: "start",
    machine: machineFacts(driver),
    rows,
    ratios: [
      ratio("RunPodSandbox / bare boot", runPodMs, runPodGoal),
      { name: `daemon with ${podsForMemory} pods / ${daemonGoalMib} MiB`, value: daemonValue, goal: 1 },
    ],
  };
}

/** RunPodSandbox, and on to the first line of a container's log; the pod is removed outside the measurement. */
async function onePod(daemon: Daemon, into: Measured): Promise<void> {
  const config = { ...podConfig(daemon), linux: undefined };
  const container = containerConfig({ command: ["echo", "first output"], logPath: "c.log" });
  await mkdir(config.logDirectory, { recursive: true });
  const printed = firstBytes(config.logDirectory, "c.log");
  const startedMs = monotonicMs();
  const { podSandboxId: id } = await daemon.cri.call(runtime.runPodSandbox, { config });
  into.runPodMs.push(monotonicMs() - startedMs);
  const { containerId } = await daemon.cri.call(runtime.createContainer, {
    podSandboxId: id,
    config: container,
    sandboxConfig: config,
  });
  await daemon.cri.call(runtime.startContainer, { containerId });
  into.firstOutputMs.push((await printed) - startedMs);
  for (const { name, ms } of await stagesOf(daemon, id)) {
    const values = into.stagesMs.get(name) ?? [];
    values.push(ms);
    into.stagesMs.set(name, values);
  }
  await removePod(daemon, { id, config });
}

/** When the file has its first bytes, told by inotify. */
export async function firstBytes(directory: string, name: string): Promise<number> {
  const watcher = watch(directory);
  try {
    return await new Promise((resolve, reject) => {
      watcher.on("error", reject);
      watcher.on("change", () => {
        const nowMs = monotonicMs();
        readFile(join(directory, name)).then(
          (bytes) => {
            if (bytes.length > 0) resolve(nowMs);
          },
          () => undefined,
        );
      });
    });
  } finally {
    watcher.close();
  }
}

async function verboseInfo(daemon: Daemon, id: string): Promise<object> {
  const { info } = await daemon.cri.call(runtime.podSandboxStatus, { podSandboxId: id, verbose: true });
  const parsed: unknown = JSON.parse(info["info"] ?? "null");
  if (typeof parsed !== "object" || parsed === null) throw new Error("PodSandboxStatus has no verbose info");
  return parsed;
}

export async function stagesOf(daemon: Daemon, id: string): Promise<{ name: string; ms: number }[]> {
  const info = await verboseInfo(daemon, id);
  if (!("stages" in info) || !Array.isArray(info.stages)) throw new Error("the verbose info has no stages");
  return info.stages.map((stage: unknown) => {
    if (typeof stage !== "object" || stage === null || !("name" in stage) || !("ms" in stage)) {
      throw new Error("a stage has no name or no time");
    }
    return { name: String(stage.name), ms: Number(stage.ms) };
  });
}

interface Memory {
  readonly daemonMib: number;
  readonly guestMib: number[];
  readonly overheadMib: number[];
}

async function memoryOfMany(daemon: Daemon): Promise<Memory> {
  const pods: Pod[] = [];
  try {
    while (pods.length < podsForMemory) pods.push(await runPod(daemon));
    const daemonMib = (await residentKib(daemon.pid)) / 1024;
    const guestMib: number[] = [];
    const overheadMib: number[] = [];
    for (const pids of await processesByPod(daemon, pods)) {
      const { guestKib, overheadKib } = await boxMemory(pids);
      guestMib.push(guestKib / 1024);
      overheadMib.push(overheadKib / 1024);
    }
    return { daemonMib, guestMib, overheadMib };
  } finally {
    await Promise.all(pods.map((pod) => removePod(daemon, pod)));
  }
}

/** By the Box's directory, which each of its processes names in its arguments. */
export async function processesByPod(daemon: Daemon, pods: readonly Pod[]): Promise<number[][]> {
  const processes = await boxProcesses(daemon.scope);
  return await Promise.all(
    pods.map(async ({ id }) => {
      const pids: number[] = [];
      for (const { pid } of processes) {
        const cgroup = await readFile(`/proc/${pid}/cgroup`, "utf8").catch(() => "");
        if (cgroup.includes(id)) pids.push(pid);
      }
      return pids;
    }),
  );
}
