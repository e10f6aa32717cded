/**
 * `bench burst`: ten pods at once, by Boxes that are ready, by a template, by boots, and by containerd with runc: in turn, over
 * CRI, on one CNI bridge. To the last one READY, and to the last one's first output.
 */
import { mkdir } from "node:fs/promises";
import { monotonicMs } from "../src/base/clock.js";
import { runtime } from "../test/support/cri-client.js";
import { containerConfig, podConfig } from "../test/support/pods.js";
import { Figures } from "./figures.js";
import { machineFacts, round, type Ratio, type Report } from "./report.js";
import { firstBytes } from "./start.js";
import { resources, withWays, type Way } from "./ways.js";

const atOnce = 10;
/** A round of boots takes a quarter of a minute. */
const mostRounds = 8;
/** Issue: "10 pods at once, last READY, template or pool / containerd's: at most 1.0". */
const goal = 1;

export async function benchBurst({ runs }: { readonly runs: number }): Promise<Report> {
  const figures = new Figures();
  await withWays(atOnce, async (ways) => {
    const of = [ways.pool, ways.containerd, ways.template, ways.boot];
    for (const way of of) {
      await ways.untilReady();
      await burst(way, new Figures()); // warms the page cache, makes the template
    }
    for (let round = 0; round < Math.min(runs, mostRounds); round++) {
      for (const way of of) {
        await ways.untilReady();
        await burst(way, figures);
      }
    }
  });
  const ratio = (name: Way["name"]): Ratio => ({
    name: `last READY of ${String(atOnce)}, ${name} / containerd, p50`,
    value: round(figures.p50(`${name}: last READY`) / figures.p50("containerd: last READY")),
    goal,
  });
  return {
    bench: "burst",
    machine: machineFacts("qemu"),
    rows: figures.rows(),
    ratios: [ratio("pool"), ratio("template")],
  };
}

async function burst(way: Way, figures: Figures): Promise<void> {
  const beganMs = monotonicMs();
  const settled = await Promise.allSettled(Array.from({ length: atOnce }, () => onePod(way)));
  const pods = settled.map((pod) => {
    if (pod.status === "rejected") throw pod.reason; // when no other is being made any more: all of them can be taken away
    return pod.value;
  });
  const last = (ofPod: (pod: (typeof pods)[number]) => number): number => Math.max(...pods.map(ofPod)) - beganMs;
  figures.add(
    `${way.name}: last READY`,
    "ms",
    last(({ readyAtMs }) => readyAtMs),
  );
  figures.add(
    `${way.name}: last one's first output`,
    "ms",
    last(({ outputAtMs }) => outputAtMs),
  );
  for (const { podSandboxId } of pods) {
    await way.cri.call(runtime.stopPodSandbox, { podSandboxId });
    await way.cri.call(runtime.removePodSandbox, { podSandboxId });
  }
}

async function onePod({ cri, handler: runtimeHandler, host, image }: Way) {
  const config = podConfig(host, { linux: { resources } });
  await mkdir(config.logDirectory, { recursive: true });
  const printed = firstBytes(config.logDirectory, "c.log");
  const { podSandboxId } = await cri.call(runtime.runPodSandbox, { config, runtimeHandler });
  const readyAtMs = monotonicMs();
  const container = containerConfig({ image: { image }, command: ["echo", "first output"], logPath: "c.log" });
  const request = { podSandboxId, config: container, sandboxConfig: config };
  const { containerId } = await cri.call(runtime.createContainer, request);
  await cri.call(runtime.startContainer, { containerId });
  return { podSandboxId, readyAtMs, outputAtMs: await printed };
}
