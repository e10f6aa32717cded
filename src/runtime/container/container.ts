import type { ContainerId, SandboxId } from "../../base/ids.js";
import { orAborted } from "../../base/or-aborted.js";
import { anyOf } from "../../base/signals.js";
import type { ContainerConfig, LinuxContainerResources } from "../../gen/runtime/v1/api.js";
import type { LogFile } from "../logs/log-file.js";
import type { OutputTaps } from "../logs/output-taps.js";
import {
  containerState,
  decodeConfig,
  decodeResources,
  type ContainerRecord,
  type ContainerStateName,
} from "./container-record.js";

/** What follows a running container: its output and its end. */
export interface Follower {
  /** Undefined when the container has no log. */
  readonly file: LogFile | undefined;
  /** Copies of the output for attached clients. */
  readonly taps: OutputTaps;
  /** Settles when the output has ended and nothing is written any more; never rejects. */
  readonly done: Promise<void>;
  /** Reads no more, but writes what has come. */
  readonly cutOff: () => void;
  /** Stops following at once; what was not acknowledged will come again to the next one. */
  readonly stop: () => void;
}

/** A container: its record, and what follows it while it runs. Changed only through `ContainerStore`. */
export class Container {
  readonly id: ContainerId;
  readonly sandboxId: SandboxId;
  readonly config: ContainerConfig;
  follower: Follower | undefined;
  /** Settles when the exit has been recorded. */
  readonly exited: Promise<void>;
  #record: ContainerRecord;
  #settleExited: () => void = () => undefined;

  constructor(record: ContainerRecord) {
    this.id = record.id;
    this.sandboxId = record.sandboxId;
    this.config = decodeConfig(record.config);
    this.exited = new Promise((resolve) => {
      this.#settleExited = resolve;
    });
    this.#record = record;
    this.setRecord(record);
  }

  get record(): ContainerRecord {
    return this.#record;
  }

  get state(): ContainerStateName {
    return containerState(this.#record);
  }

  /** As the request, or the last update, wants them. */
  get resources(): LinuxContainerResources | undefined {
    const { resources } = this.#record;
    return resources === undefined ? this.config.linux?.resources : decodeResources(resources);
  }

  /** True when it has exited within the time. */
  async exitsWithin(limitMs: number, signal: AbortSignal): Promise<boolean> {
    const limit = AbortSignal.timeout(limitMs);
    try {
      await orAborted(this.exited, anyOf(signal, limit));
    } catch (thrown) {
      if (signal.aborted || !limit.aborted) throw thrown;
    }
    return this.state === "exited";
  }

  /** For `ContainerStore`: what is on disk now. */
  setRecord(record: ContainerRecord): void {
    this.#record = record;
    if (record.exit !== undefined) this.#settleExited();
  }
}
