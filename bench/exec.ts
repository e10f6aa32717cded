/**
 * `bench exec`: what one more process in a running container costs, against what it can't do without: a round trip to
 * the agent, and a spawn in the guest. And the agent's own runtime against crun, in one Box, in turn.
 */
import { monotonicMs } from "../src/base/clock.js";
import type { Box } from "../src/vmm/box.js";
import { runtime } from "../test/support/cri-client.js";
import { Daemon } from "../test/support/daemon.js";
import { busybox } from "../test/support/images.js";
import { removePod, runPod, startContainer } from "../test/support/pods.js";
import { baseSpec } from "../test/oracle/bundles.js";
import { BoxBench, within } from "../test/vmm/bench-of-boxes.js";
import { startSession, type Running } from "../test/vmm/sessions.js";
import { machineFacts, percentile, round, row, type Report } from "./report.js";

/** Issue: "with the agent's own exec be at a third" of what another runtime's takes. */
const ownGoal = 1 / 3;
/** Spawns in one measurement of the guest, which has no clock that a shell can read finely. */
const spawnsAtOnce = 20;

type RuntimeName = "own" | "crun";
const both: readonly RuntimeName[] = ["own", "crun"];

class Times {
  readonly #ms = new Map<string, number[]>();

  async take<T>(name: string, work: () => Promise<T>, parts = 1): Promise<T> {
    const startedMs = monotonicMs();
    const result = await work();
    this.add(name, (monotonicMs() - startedMs) / parts);
    return result;
  }

  add(name: string, ms: number): void {
    this.#ms.set(name, [...(this.#ms.get(name) ?? []), ms]);
  }

  of(name: string): number[] {
    return this.#ms.get(name) ?? [];
  }

  names(): string[] {
    return [...this.#ms.keys()];
  }
}

export async function benchExec({ runs }: { readonly runs: number }): Promise<Report> {
  const times = new Times();
  await measureExecSync(runs, times);
  await measureAgent(runs, times);
  const p50 = (name: string): number => percentile(times.of(name), 50);
  const ratio = (name: string, value: number, goal: number) => ({ name, value: round(value), goal: round(goal) });
  return {
    bench: "exec",
    machine: machineFacts("qemu"),
    rows: times.names().map((name) => row(name, "ms", times.of(name))),
    ratios: [
      ratio("exec, own / crun", p50("own: exec") / p50("crun: exec"), ownGoal),
      ratio("create, own / crun", p50("own: create") / p50("crun: create"), ownGoal),
      ratio("start, own / crun", p50("own: start") / p50("crun: start"), ownGoal),
    ],
  };
}

async function measureExecSync(runs: number, times: Times): Promise<void> {
  const daemon = await Daemon.start({ images: [await busybox()] });
  try {
    const pod = await runPod(daemon);
    const containerId = await startContainer(daemon, pod);
    const request = { containerId, cmd: ["true"], timeout: 60n };
    await daemon.cri.call(runtime.execSync, request); // the first one pages the program in
    for (let turn = 0; turn < runs; turn++) {
      await times.take("ExecSync of true", () => daemon.cri.call(runtime.execSync, request));
    }
    await removePod(daemon, pod);
  } finally {
    await daemon.remove();
  }
}

async function measureAgent(runs: number, times: Times): Promise<void> {
  const bench = await BoxBench.open();
  try {
    const box = await bench.boot({ vcpus: 2, memoryMib: 512 });
    const sessions = new Map<RuntimeName, Running>();
    for (const name of both) {
      sessions.set(name, await sleeper(box, bench, name, new Times()));
      await (await sleeper(box, bench, name, new Times())).remove();
    }
    for (let turn = 0; turn < runs; turn++) {
      await times.take("agent round trip (Hello)", () => box.agent.hello(within(10_000)));
      for (const name of both) {
        await times.take(`${name}: exec`, () => exec(sessions.get(name), ["/bin/busybox", "true"]));
        await (await sleeper(box, bench, name, times)).remove();
      }
      times.add("spawn in the guest", await spawnMs(sessions.get("own")));
    }
    for (const session of sessions.values()) await session.remove();
  } finally {
    await bench[Symbol.asyncDispose]();
  }
}

async function sleeper(box: Box, bench: BoxBench, name: RuntimeName, times: Times): Promise<Running> {
  return await startSession(box, bench, {
    spec: (root) => baseSpec(root, name, "exec /bin/busybox sleep 100000"),
    step: (step, work) => times.take(`${name}: ${step}`, work),
  });
}

async function exec(session: Running | undefined, args: string[]): Promise<void> {
  const { code } = (await session?.exec({ ...baseSpec("/", "own", "").process, args })) ?? { code: -1 };
  if (code !== 0) throw new Error(`${args.join(" ")} ended with ${code}`);
}

/** Fork, exec and wait of the same program by a shell, less that shell's own time. */
async function spawnMs(session: Running | undefined): Promise<number> {
  const shell = async (loops: number): Promise<number> => {
    const line = `i=0; while [ $i -lt ${loops} ]; do /bin/busybox true; i=$((i+1)); done`;
    const startedMs = monotonicMs();
    await exec(session, ["/bin/busybox", "sh", "-c", line]);
    return monotonicMs() - startedMs;
  };
  return Math.max(0, (await shell(spawnsAtOnce)) - (await shell(0))) / spawnsAtOnce;
}
