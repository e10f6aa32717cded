/**
 * `bench pool`: pods that get a Box that is ready, that go on from a template, that boot, and pods of containerd with runc: over CRI,
 * on one CNI bridge, in turn.
 */
import { mkdir } from "node:fs/promises";
import { monotonicMs } from "../src/base/clock.js";
import { runtime } from "../test/support/cri-client.js";
import { containerConfig, podConfig } from "../test/support/pods.js";
import { machineFacts, percentile, round, row, type Ratio, type Report } from "./report.js";
import { firstBytes, stagesOf } from "./start.js";
import { resources, withWays, type Way, type Ways } from "./ways.js";

/** Issue: "p50 at most 1.0, p99 at most 2", "at most 1.5" to the first output. */
const goals = { p50: 1, p99: 2, output: 1.5, template: 0.3 } as const;
interface Side extends Way {
  readonly runPodMs: number[];
  readonly outputMs: number[];
  readonly stagesMs: Map<string, number[]>;
}

export async function benchPool({ runs }: { readonly runs: number }): Promise<Report> {
  return await withWays(1, async (ways) => {
    const side = (way: Way): Side => ({ ...way, runPodMs: [], outputMs: [], stagesMs: new Map() });
    const of = [ways.pool, ways.containerd, ways.template, ways.boot];
    for (const way of of) await onePod(side(way), ways); // warms the page cache, makes the template
    const sides = of.map(side);
    for (let turn = 0; turn < runs; turn++) for (const one of sides) await onePod(one, ways);
    return report(sides);
  });
}

/** Once a Box is ready again, so that nothing is being made beside it. */
async function onePod(side: Side, ways: Ways): Promise<void> {
  await ways.untilReady();
  const { cri, handler: runtimeHandler, host } = side;
  const config = podConfig(host, { linux: { resources } });
  const container = containerConfig({
    ...{ image: { image: side.image }, command: ["echo", "first output"], logPath: "c.log" },
  });
  await mkdir(config.logDirectory, { recursive: true });
  const printed = firstBytes(config.logDirectory, "c.log");
  const startedMs = monotonicMs();
  const { podSandboxId } = await cri.call(runtime.runPodSandbox, { config, runtimeHandler });
  side.runPodMs.push(monotonicMs() - startedMs);
  const { containerId } = await cri.call(runtime.createContainer, {
    podSandboxId,
    config: container,
    sandboxConfig: config,
  });
  await cri.call(runtime.startContainer, { containerId });
  side.outputMs.push((await printed) - startedMs);
  if (cri === host.cri) {
    for (const { name, ms } of await stagesOf(host, podSandboxId)) {
      side.stagesMs.set(name, [...(side.stagesMs.get(name) ?? []), ms]);
    }
  }
  await cri.call(runtime.stopPodSandbox, { podSandboxId });
  await cri.call(runtime.removePodSandbox, { podSandboxId });
}

function report(sides: readonly Side[]): Report {
  const [pool, theirs, template, boot] = sides;
  if (pool === undefined || theirs === undefined || template === undefined || boot === undefined)
    throw new Error("sides");
  const ratio = (
    name: string,
    one: readonly number[],
    other: readonly number[],
    percent: number,
    goal: number,
  ): Ratio => {
    const value = round(percentile(one, percent) / percentile(other, percent));
    return { name: `${name}, p${String(percent)}`, value, goal };
  };
  return {
    bench: "pool",
    machine: machineFacts("qemu"),
    rows: sides.flatMap(({ name, runPodMs, outputMs, stagesMs }) => [
      row(`${name}: RunPodSandbox`, "ms", runPodMs),
      ...(name === "pool" ? [...stagesMs].map(([stage, values]) => row(`  stage: ${stage}`, "ms", values)) : []),
      row(`${name}: pod to first output`, "ms", outputMs),
    ]),
    ratios: [
      ratio("RunPodSandbox, pool / containerd", pool.runPodMs, theirs.runPodMs, 50, goals.p50),
      ratio("RunPodSandbox, pool / containerd", pool.runPodMs, theirs.runPodMs, 99, goals.p99),
      ratio("first output, pool / containerd", pool.outputMs, theirs.outputMs, 50, goals.output),
      ratio("RunPodSandbox, template / boot", template.runPodMs, boot.runPodMs, 50, goals.template),
    ],
  };
}
