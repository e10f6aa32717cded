/**
 * `bench containers`: five pods with ten containers each, in Boxes, by the native handler and by containerd: what a
 * container's creation and start take, and ListContainerStats of all of them.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { containerdVersion } from "../scripts/setup/assets/containerd.js";
import { interrupted } from "../scripts/setup/interrupted.js";
import { setupContext } from "../scripts/setup/set-up.js";
import { NamespaceMode } from "../src/gen/runtime/v1/api.js";
import { runtime, type CriClient } from "../test/support/cri-client.js";
import { Daemon, nativeHandler } from "../test/support/daemon.js";
import { busybox, busyboxImage } from "../test/support/images.js";
import { NodeNetwork } from "../test/support/node-network.js";
import { containerConfig, podConfig } from "../test/support/pods.js";
import { projectDirectory } from "../test/support/project.js";
import { Figures } from "./figures.js";
import { startContainerd } from "./native/start-containerd.js";
import { machineFacts, round, type Report } from "./report.js";

/** Issue: "ListContainerStats of 50 containers in 5 Boxes: at most 60 ms". */
const statsGoalMs = 60;
/** Issue: "create and start a container in a Box, p50: at most 100 ms". */
const startGoalMs = 100;
const pods = 5;
const containersEach = 10;

interface Side {
  readonly name: string;
  readonly cri: CriClient;
  readonly handler: string;
  readonly image: string;
}

/** As kubelet asks: each container has its own PID namespace. */
const linux = { securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER } } };

export async function benchContainers({ runs }: { readonly runs: number }): Promise<Report> {
  const context = setupContext(projectDirectory, interrupted(), console.error);
  const figures = new Figures();
  const node = await NodeNetwork.create();
  const directory = await mkdtemp(join(tmpdir(), "a3s-bench-containers-"));
  await node.configure([
    { type: "bridge", bridge: "pods", isGateway: true, ipMasq: true, ipam: node.ipam("10.96.9.0/24") },
  ]);
  const config = `${node.daemonConfig}${nativeHandler}`;
  const daemon = await Daemon.start({ images: [await busybox()], config, nodeNetns: node.netns });
  try {
    const containerd = await startContainerd(context, directory, node);
    try {
      const sides: Side[] = [
        { name: "Boxes", cri: daemon.cri, handler: "", image: busyboxImage },
        { name: "native", cri: daemon.cri, handler: "native", image: busyboxImage },
        { name: "containerd", cri: containerd.side.cri, handler: "", image: containerd.image },
      ];
      const made: { side: Side; podSandboxId: string }[] = [];
      for (let pod = 0; pod < pods; pod += 1) {
        for (const side of sides) made.push({ side, podSandboxId: await onePod(side, daemon, figures) });
      }
      for (let turn = 0; turn < runs; turn += 1) {
        for (const side of sides) await stats(side, figures);
      }
      for (const { side, podSandboxId } of made) await removePod(side, podSandboxId);
    } finally {
      await containerd.side.stop();
    }
  } finally {
    await daemon.remove();
    await node.remove();
    await rm(directory, { recursive: true, force: true });
  }
  return report(figures);
}

async function onePod(side: Side, daemon: Daemon, figures: Figures): Promise<string> {
  const config = podConfig(daemon, { linux, logDirectory: "" });
  const { podSandboxId } = await side.cri.call(runtime.runPodSandbox, { config, runtimeHandler: side.handler });
  for (let count = 0; count < containersEach; count += 1) {
    const which = count === 0 ? "first" : "further";
    const labels = { side: side.name };
    const wanted = containerConfig({ image: { image: side.image }, labels, linux, logPath: "" });
    const request = { podSandboxId, config: wanted, sandboxConfig: config };
    const { containerId } = await figures.time(`${side.name}: create, ${which} of its pod`, () =>
      side.cri.call(runtime.createContainer, request),
    );
    await figures.time(`${side.name}: start, ${which} of its pod`, () =>
      side.cri.call(runtime.startContainer, { containerId }),
    );
  }
  return podSandboxId;
}

/** In one call, as kubelet does; by their label, for one daemon has those of two handlers. */
async function stats({ name, cri }: Side, figures: Figures): Promise<void> {
  const filter = { id: "", podSandboxId: "", labelSelector: { side: name } };
  const answer = await figures.time(`${name}: ListContainerStats of 50`, () =>
    cri.call(runtime.listContainerStats, { filter }),
  );
  const count = answer.stats.length;
  if (count !== pods * containersEach) throw new Error(`${name}: stats of ${count} containers`);
}

async function removePod({ cri }: Side, podSandboxId: string): Promise<void> {
  await cri.call(runtime.stopPodSandbox, { podSandboxId });
  await cri.call(runtime.removePodSandbox, { podSandboxId });
}

function report(figures: Figures): Report {
  const start = figures.p50("Boxes: create, further of its pod") + figures.p50("Boxes: start, further of its pod");
  const stats = (side: string): number => figures.p50(`${side}: ListContainerStats of 50`);
  return {
    bench: "containers",
    machine: { ...machineFacts("qemu"), containerd: containerdVersion },
    rows: figures.rows(),
    ratios: [
      {
        name: `ListContainerStats of 50 in Boxes / ${statsGoalMs} ms`,
        value: round(stats("Boxes") / statsGoalMs),
        goal: 1,
      },
      {
        name: "ListContainerStats of 50, Boxes / containerd",
        value: round(stats("Boxes") / stats("containerd")),
        goal: 1,
      },
      { name: `create and start in a Box / ${startGoalMs} ms`, value: round(start / startGoalMs), goal: 1 },
    ],
  };
}
