import { RuntimeError } from "../../base/errors.js";
import { shortId, type PodId } from "../../base/ids.js";
import { orAborted } from "../../base/or-aborted.js";
import type { Box } from "../../vmm/box.js";
import type { Boundary } from "../boundary/boundary.js";
import { boundaryNamed } from "../boundary/boundary-of.js";
import type { PodSpec } from "./pod-spec.js";
import { podState, type PodRecord, type PodState } from "./pod-record.js";

/** How long one step of the sandbox's start took. */
export interface StageTiming {
  readonly name: string;
  readonly ms: number;
}

/** What is known of a sandbox at one moment. */
export interface PodFacts {
  readonly id: PodId;
  readonly spec: PodSpec;
  readonly record: PodRecord;
  readonly state: PodState;
}

/** A sandbox: its record, and its Box while that one lives. Changed only through `PodStore`. */
export class Pod {
  readonly id: PodId;
  /**
   * What was asked for: the truth for identity, network, log directory and namespaces
   * (pkg/kubelet/kuberuntime/kuberuntime_sandbox.go).
   */
  readonly spec: PodSpec;
  /** Decided once, when the pod was made. */
  readonly boundary: Boundary;
  /** Directory with resolv.conf, hosts and hostname. */
  readonly directory: string;
  /** Stages of the start, for `PodSandboxStatus` and the benches; empty after a daemon restart. */
  stages: readonly StageTiming[] = [];
  /** Its end has been published, or was before this daemon started. */
  endTold = false;
  #record: PodRecord;
  #box: Box | undefined;
  #settled: Promise<void> = Promise.resolve();
  readonly #onWake: (() => void)[] = [];

  constructor(record: PodRecord, directory: string) {
    this.id = record.id;
    this.spec = record.spec;
    this.boundary = boundaryNamed(record.boundary);
    this.directory = directory;
    this.#record = record;
  }

  get record(): PodRecord {
    return this.#record;
  }

  /** As they are now, and stay. */
  facts(): PodFacts {
    const { id, spec, record, state } = this;
    return { id, spec, record, state };
  }

  get state(): PodState {
    return podState(this.#record);
  }

  /** Undefined when the Box is gone, and after a daemon restart until it is found again: see `liveBox`. */
  get box(): Box | undefined {
    return this.#box;
  }

  /** Resolves when recovery has done what it does with this sandbox; rejects with the signal's reason alone. */
  async whenSettled(signal: AbortSignal): Promise<void> {
    await orAborted(this.#settled, signal);
  }

  /** The Box of a READY sandbox, for what is about to use it. `failedPrecondition` when the sandbox is not READY. */
  async liveBox(signal: AbortSignal): Promise<Box> {
    await this.whenSettled(signal);
    return this.runningBox();
  }

  /** The same, of one that is known to be settled. */
  runningBox(): Box {
    const box = this.#readyBox();
    if (!this.isPaused) return box;
    throw new RuntimeError("failedPrecondition", `sandbox ${shortId(this.id)} is paused`, { hint: "resume it first" });
  }

  /** For who resumes it. */
  pausedBox(): Box {
    return this.#readyBox();
  }

  /** It stands still, whatever becomes of it then. */
  get isPaused(): boolean {
    return this.#record.pausedAtNs !== undefined;
  }

  /** Does what takes a guest that answers: at once, or when the sandbox goes on. */
  whenAwake(work: () => void): void {
    if (this.isPaused) this.#onWake.push(work);
    else work();
  }

  /** For who has resumed it. */
  wake(): void {
    for (const work of this.#onWake.splice(0)) work();
  }

  #readyBox(): Box {
    if (this.state === "ready" && this.#box !== undefined && this.#box.exit === undefined) return this.#box;
    const why = this.#record.end?.reason ?? this.#box?.exit?.reason ?? "its Box is not running";
    throw new RuntimeError("failedPrecondition", `sandbox ${shortId(this.id)} is not ready: ${why}`);
  }

  /** For `PodStore`: what is on disk now. */
  setRecord(record: PodRecord): void {
    this.#record = record;
  }

  /** For the creation, recovery and stop. */
  setBox(box: Box | undefined): void {
    this.#box = box;
  }

  /** For recovery. */
  setSettled(settled: Promise<void>): void {
    this.#settled = settled;
  }
}
