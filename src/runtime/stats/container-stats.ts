/** What containers use: the agent's counters, and the snapshot's size on the host. */
import { nowNs } from "../../base/clock.js";
import { messageOf } from "../../base/errors.js";
import type { SessionStats } from "../../gen/agent/v1/agent.js";
import type { Container } from "../container/container.js";
import type { Deps } from "../deps.js";
import { askBoxes, type BoxAnswers } from "./ask-boxes.js";

/** A container's own layer, on the file system at `mountpoint`. */
export interface LayerUsage {
  readonly atNs: bigint;
  readonly mountpoint: string;
  readonly bytes: bigint;
  readonly inodes: bigint;
}

export interface ContainerUsage {
  readonly container: Container;
  readonly atNs: bigint;
  /** As the agent counts; undefined when the Box did not answer. */
  readonly session: SessionStats | undefined;
  readonly layer: LayerUsage;
}

/** One per container, in their order; a container of a Box that does not answer has no counters in it. */
export async function usageOf(
  containers: readonly Container[],
  deps: Deps,
  signal: AbortSignal,
): Promise<ContainerUsage[]> {
  const answers = await askBoxes(new Set(containers.map(({ sandboxId }) => sandboxId)), deps, signal);
  return await fromAnswers(containers, answers, deps, signal);
}

/** As `usageOf`, of Boxes that have answered already. */
export async function fromAnswers(
  containers: readonly Container[],
  answers: BoxAnswers,
  deps: Deps,
  signal: AbortSignal,
): Promise<ContainerUsage[]> {
  const mountpoint = deps.images.containersDirectory;
  return await Promise.all(
    containers.map(async (container) => ({
      container,
      atNs: nowNs(),
      session: answers.get(container.sandboxId)?.sessions.find(({ sessionId }) => sessionId === container.id),
      layer: await layerUsage(container, mountpoint, deps, signal),
    })),
  );
}

/** Size of the container's own layer. A tree that changes under the walk is counted as far as it was seen. */
export async function layerUsage(
  container: Container,
  mountpoint: string,
  deps: Deps,
  signal: AbortSignal,
): Promise<LayerUsage> {
  const { upper } = container.record;
  let usage = { bytes: 0n, inodes: 0n };
  try {
    if (upper !== undefined) usage = await deps.containers.trees.size(upper, signal);
  } catch (thrown) {
    signal.throwIfAborted();
    deps.log.debug({ containerId: container.id, err: messageOf(thrown) }, "writable layer not measured");
  }
  return { atNs: nowNs(), mountpoint, ...usage };
}
