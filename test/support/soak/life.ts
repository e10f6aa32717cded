/** What lives of pods are made of, each call insisted on. */
import { randomBytes } from "node:crypto";
import { ContainerState, PodSandboxState, type ContainerStatus } from "../../../src/gen/runtime/v1/api.js";
import { isServiceError, runtime, status } from "../cri-client.js";
import type { Daemon } from "../daemon.js";
import {
  containerConfig,
  containerStatus,
  exec,
  podConfig,
  podStatus,
  vmmPid,
  type ContainerConfigPart,
  type ExecResult,
  type Pod,
} from "../pods.js";
import { eventually } from "../wait.js";
import type { Dice } from "./dice.js";
import { existingId, isFault, type Insist } from "./insist.js";

export class Life {
  readonly daemon: Daemon;
  readonly dice: Dice;
  readonly #insist: Insist;

  constructor(daemon: Daemon, dice: Dice, insist: Insist) {
    this.daemon = daemon;
    this.dice = dice;
    this.#insist = insist;
  }

  async runPod(): Promise<Pod> {
    const name = randomBytes(6).toString("hex");
    const config = podConfig(this.daemon, { logDirectory: `${this.daemon.logs}/${name}` });
    const run = async (): Promise<string> =>
      (await this.daemon.cri.call(runtime.runPodSandbox, { config })).podSandboxId;
    const id = await this.#insist.on("RunPodSandbox", run, existingId);
    this.#insist.pods++;
    return { id, config };
  }

  /** Created and started. One whose start was broken off is made again, as kubelet does. */
  async startContainer(pod: Pod, part: ContainerConfigPart = {}): Promise<string> {
    for (let attempt = 1; ; attempt++) {
      const config = containerConfig({ ...part, metadata: { name: part.metadata?.name ?? "web", attempt } });
      const request = { podSandboxId: pod.id, config, sandboxConfig: pod.config };
      const create = async (): Promise<string> =>
        (await this.daemon.cri.call(runtime.createContainer, request)).containerId;
      const containerId = await this.#insist.on("CreateContainer", create, existingId);
      if (await this.#started(containerId)) return containerId;
      await this.removeContainer(containerId);
    }
  }

  async exec(containerId: string, cmd: readonly string[]): Promise<ExecResult> {
    return await this.#insist.on("ExecSync", () => exec(this.daemon, containerId, cmd));
  }

  async status(containerId: string): Promise<ContainerStatus> {
    return await this.#insist.on("ContainerStatus", () => containerStatus(this.daemon, containerId));
  }

  async ended(containerId: string): Promise<ContainerStatus> {
    return await eventually(`container ${containerId.slice(0, 12)} has exited`, 120_000, async () => {
      const now = await this.status(containerId);
      return now.state === ContainerState.CONTAINER_EXITED ? now : undefined;
    });
  }

  async stopContainer(containerId: string, timeout: bigint): Promise<void> {
    const stop = (): Promise<unknown> => this.daemon.cri.call(runtime.stopContainer, { containerId, timeout });
    await this.#insist.on("StopContainer", stop);
  }

  async removeContainer(containerId: string): Promise<void> {
    const remove = (): Promise<unknown> => this.daemon.cri.call(runtime.removeContainer, { containerId });
    await this.#insist.on("RemoveContainer", remove);
  }

  async removePod({ id }: Pick<Pod, "id">): Promise<void> {
    const podSandboxId = id;
    const stop = (): Promise<unknown> => this.daemon.cri.call(runtime.stopPodSandbox, { podSandboxId });
    await this.#insist.on("StopPodSandbox", stop);
    const remove = (): Promise<unknown> => this.daemon.cri.call(runtime.removePodSandbox, { podSandboxId });
    await this.#insist.on("RemovePodSandbox", remove);
  }

  async vmmPid(pod: Pod): Promise<number> {
    return await this.#insist.on("PodSandboxStatus", () => vmmPid(this.daemon, pod));
  }

  async isReady(pod: Pod): Promise<boolean> {
    const { state } = await this.#insist.on("PodSandboxStatus", () => podStatus(this.daemon, pod.id));
    return state === PodSandboxState.SANDBOX_READY;
  }

  /** Whatever it is that must be asked for again. */
  async on<T>(what: string, work: () => Promise<T>): Promise<T> {
    return await this.#insist.on(what, work);
  }

  /** False: the start itself was broken off, and the container will never run. */
  async #started(containerId: string): Promise<boolean> {
    const start = async (): Promise<boolean> => {
      const { state, startedAt } = await containerStatus(this.daemon, containerId);
      if (state !== ContainerState.CONTAINER_CREATED) return startedAt > 0n;
      try {
        await this.daemon.cri.call(runtime.startContainer, { containerId });
        return true;
      } catch (thrown) {
        // It may have been started by a try whose answer was lost, and found running only now.
        if (!isFault(thrown) && !isRunningAlready(thrown)) throw thrown;
        return await this.#started(containerId);
      }
    };
    return await this.#insist.on("StartContainer", start);
  }
}

function isRunningAlready(thrown: unknown): boolean {
  return isServiceError(thrown) && thrown.code === status.FAILED_PRECONDITION && thrown.details.includes("is running");
}
