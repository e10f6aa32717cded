/** CRI messages made of a container. */
import {
  ContainerState,
  LinuxContainerResources,
  type Container as CriContainer,
  type ContainerFilter,
  type ContainerStatus,
  type ImageSpec,
} from "../../gen/runtime/v1/api.js";
import type { ContainerFacts } from "../../runtime/container/container.js";
import { criImageSpec, criMount } from "./mounts.js";
import { criResources } from "./resources.js";
import { criSignal } from "./signals.js";

const states = {
  created: ContainerState.CONTAINER_CREATED,
  running: ContainerState.CONTAINER_RUNNING,
  exited: ContainerState.CONTAINER_EXITED,
} as const;

/** CRI Container, an item of lists. */
export function containerItem(container: ContainerFacts): CriContainer {
  const { spec, record } = container;
  return {
    id: container.id,
    podSandboxId: container.sandboxId,
    metadata: { name: spec.name, attempt: spec.attempt },
    image: imageSpecOf(container),
    imageRef: record.image.reference,
    state: states[container.state],
    createdAt: record.createdAtNs,
    labels: { ...spec.labels },
    annotations: { ...spec.annotations },
    imageId: record.image.id,
  };
}

/** Mounts, labels and annotations exactly as they were given: kubelet compares them (pkg/kubelet/kuberuntime/labels.go). */
export function containerStatusOf(container: ContainerFacts): ContainerStatus {
  const { spec, record, resources } = container;
  const { user } = record.process;
  return {
    ...withoutSandbox(containerItem(container)),
    startedAt: record.startedAtNs ?? 0n,
    finishedAt: record.exit?.atNs ?? 0n,
    exitCode: record.exit?.code ?? 0,
    reason: record.exit?.reason ?? "",
    message: record.exit?.message ?? "",
    mounts: spec.mounts.map(criMount),
    logPath: record.logPath,
    resources: {
      linux: resources === undefined ? LinuxContainerResources.fromPartial({}) : criResources(resources),
      windows: undefined,
    },
    user: {
      linux: {
        uid: BigInt(user.uid),
        gid: BigInt(user.gid),
        supplementalGroups: user.additionalGids.map((gid) => BigInt(gid)),
      },
    },
    stopSignal: criSignal(spec.stopSignal, record.stopSignal),
  };
}

/** CRI ContainerFilter: what is set must all fit; ids by prefix. */
export function fitsFilter(container: ContainerFacts, filter: ContainerFilter | undefined): boolean {
  if (filter === undefined) return true;
  const { labels } = container.spec;
  return (
    container.id.startsWith(filter.id) &&
    container.sandboxId.startsWith(filter.podSandboxId) &&
    (filter.state === undefined || filter.state.state === states[container.state]) &&
    Object.entries(filter.labelSelector).every(([name, value]) => Object.hasOwn(labels, name) && labels[name] === value)
  );
}

function withoutSandbox(item: CriContainer): Omit<CriContainer, "podSandboxId"> {
  const { podSandboxId: _, ...rest } = item;
  return rest;
}

/** The image as people call it, and what the request said of it. */
function imageSpecOf({ spec, record }: ContainerFacts): ImageSpec {
  return { ...criImageSpec(spec.image), image: record.image.name, imageRef: record.image.id };
}
