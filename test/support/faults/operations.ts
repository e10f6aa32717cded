/** The operations of CRI whose steps are made to fail. */
import { ContainerState, type PodSandboxConfig } from "../../../src/gen/runtime/v1/api.js";
import { isServiceError, runtime, status } from "../cri-client.js";
import type { Daemon } from "../daemon.js";
import { containerConfig, podConfig, removePod, runPod, type Pod } from "../pods.js";
import type { Operation } from "./matrix.js";

/** A step's name has the container's in it, and is the same in each run. */
const named = { metadata: { name: "web", attempt: 1 } };

interface SandboxSubject {
  readonly config: PodSandboxConfig;
}

export function runPodSandbox(daemon: Daemon): Operation<SandboxSubject> {
  const request = async ({ config }: SandboxSubject): Promise<"made" | "existed"> =>
    await orExists(daemon.cri.call(runtime.runPodSandbox, { config }));
  return {
    prepare: () => Promise.resolve({ config: podConfig(daemon, { logDirectory: "" }) }),
    request,
    takeBack: () => daemon.removePods(),
    goesOn: false,
  };
}

interface ContainerSubject {
  readonly pod: Pod;
  readonly config: ReturnType<typeof containerConfig>;
}

/** In a pod that is there for all of them. */
export function createContainer(daemon: Daemon, pod: Pod): Operation<ContainerSubject> {
  return {
    prepare: () => Promise.resolve({ pod, config: containerConfig({ ...named, logPath: "" }) }),
    request: async ({ config }) =>
      await orExists(
        daemon.cri.call(runtime.createContainer, { podSandboxId: pod.id, config, sandboxConfig: pod.config }),
      ),
    takeBack: async () => {
      await removeContainers(daemon);
    },
    goesOn: false,
  };
}

/** A start that failed leaves a container that has exited: kubelet makes another. */
export function startContainer(daemon: Daemon, pod: Pod): Operation<ContainerSubject> {
  const create = async (config: ContainerSubject["config"]): Promise<void> => {
    await daemon.cri.call(runtime.createContainer, { podSandboxId: pod.id, config, sandboxConfig: pod.config });
  };
  return {
    prepare: async () => {
      const config = containerConfig({ ...named, logPath: "" });
      await create(config);
      return { pod, config };
    },
    request: async ({ config }) => {
      const { containers } = await daemon.cri.call(runtime.listContainers, {});
      const [container] = containers;
      if (container?.state === ContainerState.CONTAINER_RUNNING) return "existed";
      if (container !== undefined && container.state !== ContainerState.CONTAINER_CREATED) {
        await removeContainers(daemon);
        await create(config);
        return await startOnly(daemon);
      }
      return await startOnly(daemon);
    },
    takeBack: async () => {
      await removeContainers(daemon);
    },
    goesOn: true,
  };
}

async function startOnly(daemon: Daemon): Promise<"made"> {
  const { containers } = await daemon.cri.call(runtime.listContainers, {});
  const [container] = containers;
  if (container === undefined) throw new Error("there is no container to start");
  await daemon.cri.call(runtime.startContainer, { containerId: container.id });
  return "made";
}

/** From a pod with a running container to nothing. */
export function removePodSandbox(daemon: Daemon): Operation<Pod> {
  return {
    prepare: async () => {
      const pod = await runPod(daemon, { logDirectory: "" });
      const config = containerConfig({ ...named, logPath: "" });
      const made = await daemon.cri.call(runtime.createContainer, {
        podSandboxId: pod.id,
        config,
        sandboxConfig: pod.config,
      });
      await daemon.cri.call(runtime.startContainer, { containerId: made.containerId });
      return pod;
    },
    request: async (pod) => {
      await removePod(daemon, pod);
      return "made";
    },
    takeBack: () => daemon.removePods(),
    goesOn: true,
  };
}

async function removeContainers(daemon: Daemon): Promise<void> {
  const { containers } = await daemon.cri.call(runtime.listContainers, {});
  for (const { id } of containers) await daemon.cri.call(runtime.removeContainer, { containerId: id });
}

async function orExists(call: Promise<unknown>): Promise<"made" | "existed"> {
  try {
    await call;
    return "made";
  } catch (thrown) {
    if (isServiceError(thrown) && thrown.code === status.ALREADY_EXISTS) return "existed";
    throw thrown;
  }
}
