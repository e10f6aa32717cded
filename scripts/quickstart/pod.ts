import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { RuntimeError } from "../../src/base/errors.js";
import {
  ContainerConfig,
  ContainerState,
  ImageSpec,
  PodSandboxConfig,
  PodSandboxFilter,
} from "../../src/gen/runtime/v1/api.js";
import type { Stopwatch } from "../setup/stopwatch.js";
import { image, runtime, type Cri } from "./cri.js";

const callLimitMs = 240_000;
const exitLimitMs = 120_000;
const pollMs = 100;

export interface PodWish {
  readonly image: string;
  readonly pull: boolean;
  readonly command: readonly string[];
  readonly logs: string;
}

export interface PodResult {
  readonly output: string;
  readonly exitCode: number;
}

const memoryMib = 512;

/** One pod with one container, from nothing to its output, by the calls that kubelet makes. */
export async function runPod(cri: Cri, wish: PodWish, watch: Stopwatch, signal: AbortSignal): Promise<PodResult> {
  const spec = { image: wish.image };
  if (wish.pull) {
    await watch.time("pull the image", () =>
      cri.call(image.pullImage, { image: ImageSpec.fromPartial(spec) }, callLimitMs, signal),
    );
  }
  const sandboxConfig = PodSandboxConfig.fromPartial({
    metadata: { name: "quickstart", uid: "quickstart", namespace: "default", attempt: 0 },
    hostname: "quickstart",
    logDirectory: wish.logs,
    linux: { resources: { memoryLimitInBytes: BigInt(memoryMib) << 20n } },
  });
  const config = ContainerConfig.fromPartial({
    metadata: { name: "hello", attempt: 0 },
    image: spec,
    command: [...wish.command],
    logPath: "hello.log",
    linux: {},
  });
  await mkdir(wish.logs, { recursive: true });
  const { podSandboxId } = await watch.time("run the pod: boot its microVM", () =>
    cri.call(runtime.runPodSandbox, { config: sandboxConfig }, callLimitMs, signal),
  );
  const { containerId } = await watch.time("create the container", () =>
    cri.call(runtime.createContainer, { podSandboxId, config, sandboxConfig }, callLimitMs, signal),
  );
  const exitCode = await watch.time("start it, until it ends", async () => {
    await cri.call(runtime.startContainer, { containerId }, callLimitMs, signal);
    return await exitOf(cri, containerId, signal);
  });
  const output = plainLog(await readFile(join(wish.logs, "hello.log"), "utf8"));
  return { output, exitCode };
}

async function exitOf(cri: Cri, containerId: string, signal: AbortSignal): Promise<number> {
  const endMs = performance.now() + exitLimitMs;
  while (performance.now() < endMs) {
    const { status } = await cri.call(runtime.containerStatus, { containerId }, callLimitMs, signal);
    if (status?.state === ContainerState.CONTAINER_EXITED) return status.exitCode;
    await delay(pollMs, undefined, { signal });
  }
  throw new RuntimeError("deadlineExceeded", `the container has not ended in ${String(exitLimitMs)} ms`);
}

/** Takes the time, the stream's name and the tag off each line of a CRI log. */
function plainLog(text: string): string {
  return text
    .split("\n")
    .map((line) => /^\S+ (?:stdout|stderr) [FP](?::\S+)? (.*)$/.exec(line)?.[1])
    .filter((line) => line !== undefined)
    .join("\n");
}

/** Sandboxes for agents are in lists of those alone who ask for them. */
const sandboxes = { "a3s.dev/made-for": "agents" };

/** Stops and removes whatever pods there are, so that the runtime leaves nothing behind. */
export async function removePods(cri: Cri): Promise<void> {
  const lists = [{}, sandboxes].map(async (labelSelector) => {
    const filter = PodSandboxFilter.fromPartial({ labelSelector });
    return (await cri.call(runtime.listPodSandbox, { filter }, callLimitMs)).items;
  });
  const items = (await Promise.all(lists)).flat();
  for (const { id } of items) {
    await cri.call(runtime.stopPodSandbox, { podSandboxId: id }, callLimitMs);
    await cri.call(runtime.removePodSandbox, { podSandboxId: id }, callLimitMs);
  }
}
