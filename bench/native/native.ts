/**
 * `bench native`: pods on the host's kernel, by this runtime's native handler and by containerd, both with the same runc,
 * CNI bridge, image and requests, asked over CRI in turn.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NamespaceMode } from "../../src/gen/runtime/v1/api.js";
import { containerdVersion } from "../../scripts/setup/assets/containerd.js";
import { interrupted } from "../../scripts/setup/interrupted.js";
import { run as runProgram, type SetupContext } from "../../scripts/setup/run.js";
import { setupContext } from "../../scripts/setup/set-up.js";
import { runtime, type CriClient } from "../../test/support/cri-client.js";
import { Daemon, nativeHandler } from "../../test/support/daemon.js";
import { busybox, busyboxImage } from "../../test/support/images.js";
import { NodeNetwork } from "../../test/support/node-network.js";
import { containerConfig, podConfig } from "../../test/support/pods.js";
import { projectDirectory } from "../../test/support/project.js";
import { Figures } from "../figures.js";
import { machineFacts, round, type Ratio, type Report } from "../report.js";
import { memoryOf } from "./memory.js";
import { startContainerd } from "./start-containerd.js";

/** Issue: "each no slower", "memory per pod no higher"; execs "at a third". */
const goal = 1;
const execGoal = 1 / 3;
const execsEach = 5;
const atOnce = 10;
const roundsAtOnce = 3;
const subnet = "10.96.9.0/24";

/** A runtime under measurement. */
interface Side {
  readonly name: "ours" | "containerd";
  readonly cri: CriClient;
  readonly handler: string;
  readonly image: string;
  /** Programs that a pod has beside its containers'. */
  readonly overhead: RegExp;
  /** In the command line of those that are this side's. */
  readonly mark: string;
}

const steps = ["RunPodSandbox", "create and start", "ExecSync true", "stop and remove", "10 pods at once"] as const;
const memoryName = "memory per pod, less its containers'";

export async function benchNative({ runs }: { readonly runs: number }): Promise<Report> {
  const context = setupContext(projectDirectory, interrupted(), console.error);
  const figures = new Figures();
  const node = await NodeNetwork.create();
  const directory = await mkdtemp(join(tmpdir(), "a3s-bench-native-"));
  const bridge = { type: "bridge", bridge: "pods", isGateway: true, ipMasq: true, ipam: node.ipam(subnet) };
  await node.configure([bridge]);
  const config = `${node.daemonConfig}${nativeHandler}`;
  const daemon = await Daemon.start({ images: [await busybox()], config, nodeNetns: node.netns });
  try {
    const containerd = await startContainerd(context, directory, node);
    try {
      const overhead = /\/agent$|containerd-shim-runc-v2$/;
      const ours = { name: "ours", cri: daemon.cri, handler: "native", image: busyboxImage } as const;
      const theirs = { name: "containerd", cri: containerd.side.cri, handler: "", image: containerd.image } as const;
      const sides: Side[] = [
        { ...ours, overhead, mark: daemon.base },
        { ...theirs, overhead, mark: directory },
      ];
      for (let turn = 0; turn < runs; turn += 1) for (const side of sides) await onePod(side, daemon, figures);
      for (let turn = 0; turn < roundsAtOnce; turn += 1) {
        for (const side of sides) await manyPods(side, daemon, figures);
      }
    } finally {
      await containerd.side.stop();
    }
  } finally {
    await daemon.remove();
    await node.remove();
    await rm(directory, { recursive: true, force: true });
  }
  return await report(context, figures);
}

/** As kubelet asks: each container has its own PID namespace. */
const linux = { securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER } } };

async function runPod(side: Side, daemon: Daemon) {
  const config = podConfig(daemon, { linux, logDirectory: "" });
  const request = { config, runtimeHandler: side.handler };
  const { podSandboxId } = await side.cri.call(runtime.runPodSandbox, request);
  return { podSandboxId, config };
}

async function startContainer(side: Side, pod: Awaited<ReturnType<typeof runPod>>): Promise<string> {
  const config = containerConfig({ image: { image: side.image }, linux, logPath: "" });
  const request = { podSandboxId: pod.podSandboxId, config, sandboxConfig: pod.config };
  const { containerId } = await side.cri.call(runtime.createContainer, request);
  await side.cri.call(runtime.startContainer, { containerId });
  return containerId;
}

async function removePod({ cri }: Side, podSandboxId: string, containerId: string): Promise<void> {
  await cri.call(runtime.stopContainer, { containerId, timeout: 0n });
  await cri.call(runtime.removeContainer, { containerId });
  await cri.call(runtime.stopPodSandbox, { podSandboxId });
  await cri.call(runtime.removePodSandbox, { podSandboxId });
}

async function onePod(side: Side, daemon: Daemon, figures: Figures): Promise<void> {
  const name = (step: string): string => `${side.name}: ${step}`;
  const pod = await figures.time(name("RunPodSandbox"), () => runPod(side, daemon));
  const containerId = await figures.time(name("create and start"), () => startContainer(side, pod));
  for (let count = 0; count < execsEach; count += 1) {
    const cmd = ["true"];
    await figures.time(name("ExecSync true"), () =>
      side.cri.call(runtime.execSync, { containerId, cmd, timeout: 30n }),
    );
  }
  await figures.time(name("stop and remove"), () => removePod(side, pod.podSandboxId, containerId));
}

async function manyPods(side: Side, daemon: Daemon, figures: Figures): Promise<void> {
  const pods = await figures.time(`${side.name}: 10 pods at once`, () =>
    Promise.all(
      Array.from({ length: atOnce }, async () => {
        const pod = await runPod(side, daemon);
        return { ...pod, containerId: await startContainer(side, pod) };
      }),
    ),
  );
  figures.add(`${side.name}: ${memoryName}`, "MiB", (await memoryOf(side)) / atOnce);
  await Promise.all(pods.map(({ podSandboxId, containerId }) => removePod(side, podSandboxId, containerId)));
}

async function report(context: SetupContext, figures: Figures): Promise<Report> {
  const ratio = (name: string, most: number): Ratio => ({
    name: `${name}, ours / containerd`,
    value: round(figures.p50(`ours: ${name}`) / figures.p50(`containerd: ${name}`)),
    goal: round(most),
  });
  const runc = (await runProgram("runc", ["--version"], { signal: context.signal })).split("\n")[0] ?? "";
  return {
    bench: "native",
    machine: { ...machineFacts("native"), containerd: containerdVersion, runc: runc.replace("runc version ", "") },
    rows: figures.rows(),
    ratios: [...steps.map((step) => ratio(step, step === "ExecSync true" ? execGoal : goal)), ratio(memoryName, goal)],
  };
}
