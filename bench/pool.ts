/**
 * `bench pool`: pods that get a Box that is ready, that go on from a template, that boot, and pods of containerd with runc: over CRI,
 * on one CNI bridge, in turn.
 */
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monotonicMs } from "../src/base/clock.js";
import { interrupted } from "../scripts/setup/interrupted.js";
import { setupContext } from "../scripts/setup/set-up.js";
import { runtime, type CriClient } from "../test/support/cri-client.js";
import { Daemon } from "../test/support/daemon.js";
import { busybox, busyboxImage } from "../test/support/images.js";
import { NodeNetwork } from "../test/support/node-network.js";
import { containerConfig, podConfig } from "../test/support/pods.js";
import { projectDirectory } from "../test/support/project.js";
import { eventually } from "../test/support/wait.js";
import { startContainerd } from "./native/start-containerd.js";
import { machineFacts, percentile, round, row, type Ratio, type Report } from "./report.js";
import { firstBytes, stagesOf } from "./start.js";

/** Issue: "p50 at most 1.0, p99 at most 2", "at most 1.5" to the first output. */
const goals = { p50: 1, p99: 2, output: 1.5, template: 0.3 } as const;
const ready = "[handlers.quick]\nready = [{ vcpus = 1, memory_mib = 512, count = 1 }]\n";
const resources = { memoryLimitInBytes: 512n << 20n, cpuPeriod: 100_000n, cpuQuota: 100_000n };

interface Side {
  readonly name: string;
  readonly cri: CriClient;
  readonly handler: string;
  readonly image: string;
  readonly host: Daemon;
  readonly runPodMs: number[];
  readonly outputMs: number[];
  readonly stagesMs: Map<string, number[]>;
}

export async function benchPool({ runs }: { readonly runs: number }): Promise<Report> {
  const context = setupContext(projectDirectory, interrupted(), console.error);
  const node = await NodeNetwork.create();
  const directory = await mkdtemp(join(tmpdir(), "a3s-bench-pool-"));
  await node.configure([
    { type: "bridge", bridge: "pods", isGateway: true, ipMasq: true, ipam: node.ipam("10.96.9.0/24") },
  ]);
  const daemons: Daemon[] = [];
  const open = async (sandbox: string, more = ""): Promise<Daemon> => {
    const config = `${node.daemonConfig}[sandbox]\n${sandbox}\n${more}`;
    const daemon = await Daemon.start({ images: [await busybox()], config, nodeNetns: node.netns });
    daemons.push(daemon);
    return daemon;
  };
  try {
    const booting = await open('start = "boot"');
    const pooled = await open('start = "template"', ready);
    const containerd = await startContainerd(context, directory, node);
    try {
      const side = (name: string, host: Daemon, handler: string, cri = host.cri, image = busyboxImage): Side => {
        return { name, host, handler, cri, image, runPodMs: [], outputMs: [], stagesMs: new Map() };
      };
      const theirs = side("containerd", booting, "", containerd.side.cri, containerd.image);
      const sides = [side("pool", pooled, "quick"), theirs, side("template", pooled, ""), side("boot", booting, "")];
      for (const one of sides) await onePod({ ...one, runPodMs: [], outputMs: [], stagesMs: new Map() }, pooled); // warms the page cache, makes the template
      for (let turn = 0; turn < runs; turn++) for (const one of sides) await onePod(one, pooled);
      return report(sides);
    } finally {
      await containerd.side.stop();
    }
  } finally {
    for (const daemon of daemons) await remove(daemon, node);
    await node.remove();
    await rm(directory, { recursive: true, force: true });
  }
}

/** Boxes that are ready are no pods: a daemon that wants none takes them away. */
async function remove(daemon: Daemon, node: NodeNetwork): Promise<void> {
  await daemon.reconfigure(node.daemonConfig);
  await eventually("no Box is left", 60_000, async () =>
    (await readdir(join(daemon.state, "boxes"))).length === 0 ? true : undefined,
  );
  await daemon.remove();
}

/** Once a Box is ready again, so that nothing is being made beside it. */
async function onePod(side: Side, pool: Daemon): Promise<void> {
  await eventually("a ready Box", 120_000, async () => {
    const { info } = await pool.cri.call(runtime.status, { verbose: true });
    return /"ready":1/.test(info["pool"] ?? "") ? true : undefined;
  });
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
