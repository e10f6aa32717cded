import type { ContainerId, PodId } from "../../base/ids.js";
import { orAborted } from "../../base/or-aborted.js";
import { anyOf } from "../../base/signals.js";
import type { LogFile } from "../logs/log-file.js";
import type { OutputTaps } from "../logs/output-taps.js";
import { containerState, type ContainerRecord, type ContainerStateName } from "./container-record.js";
import type { ContainerSpec } from "./container-spec.js";
import type { ResourceSpec } from "./resource-spec.js";

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
  /** The same of one whose end was asked for and can tell nothing more: nobody is warned of it. */
  readonly leave: () => void;
  /** Writes no more either. Its end is still looked for. */
  readonly abandonLog: () => void;
  /** Stops following at once; what was not acknowledged will come again to the next one. */
  readonly stop: () => void;
}

/** What is known of a container at one moment. */
export interface ContainerFacts {
  readonly id: ContainerId;
  readonly sandboxId: PodId;
  readonly spec: ContainerSpec;
  readonly record: ContainerRecord;
  readonly state: ContainerStateName;
  readonly resources: ResourceSpec | undefined;
}

/** A container: its record, and what follows it while it runs. Changed only through `ContainerStore`. */
export class Container {
  readonly id: ContainerId;
  readonly sandboxId: PodId;
  /** What was asked for. */
  readonly spec: ContainerSpec;
  follower: Follower | undefined;
  /** Settles when the exit has been recorded. */
  readonly exited: Promise<void>;
  #record: ContainerRecord;
  #settleExited: () => void = () => undefined;

  constructor(record: ContainerRecord) {
    this.id = record.id;
    this.sandboxId = record.sandboxId;
    this.spec = record.spec;
    this.exited = new Promise((resolve) => {
      this.#settleExited = resolve;
    });
    this.#record = record;
    this.setRecord(record);
  }

  get record(): ContainerRecord {
    return this.#record;
  }

  /** As they are now, and stay. */
  facts(): ContainerFacts {
    const { id, sandboxId, spec, record, state, resources } = this;
    return { id, sandboxId, spec, record, state, resources };
  }

  get state(): ContainerStateName {
    return containerState(this.#record);
  }

  /** As the request, or the last update, wants them. */
  get resources(): ResourceSpec | undefined {
    return this.#record.resources ?? this.spec.resources;
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
