import { RuntimeError } from "../../base/errors.js";
import { shortId, type SandboxId } from "../../base/ids.js";
import { orAborted } from "../../base/or-aborted.js";
import type { Box } from "../../vmm/box.js";
import type { Boundary } from "../boundary/boundary.js";
import { boundaryNamed } from "../boundary/boundary-of.js";
import type { PodSpec } from "./pod-spec.js";
import { sandboxState, type SandboxRecord, type SandboxState } from "./sandbox-record.js";

/** How long one step of the sandbox's start took. */
export interface StageTiming {
  readonly name: string;
  readonly ms: number;
}

/** What is known of a sandbox at one moment. */
export interface SandboxFacts {
  readonly id: SandboxId;
  readonly spec: PodSpec;
  readonly record: SandboxRecord;
  readonly state: SandboxState;
}

/** A sandbox: its record, and its Box while that one lives. Changed only through `SandboxStore`. */
export class Sandbox {
  readonly id: SandboxId;
  /** What was asked for: the truth for identity, network, log directory and namespaces (kubelet.md 1.5). */
  readonly spec: PodSpec;
  /** Decided once, when the pod was made. */
  readonly boundary: Boundary;
  /** Folder with resolv.conf, hosts and hostname. */
  readonly folder: string;
  /** Stages of the start, for `PodSandboxStatus` and the benches; empty after a daemon restart. */
  stages: readonly StageTiming[] = [];
  /** Its end has been published, or was before this daemon started. */
  endTold = false;
  #record: SandboxRecord;
  #box: Box | undefined;
  #settled: Promise<void> = Promise.resolve();

  constructor(record: SandboxRecord, folder: string) {
    this.id = record.id;
    this.spec = record.spec;
    this.boundary = boundaryNamed(record.boundary);
    this.folder = folder;
    this.#record = record;
  }

  get record(): SandboxRecord {
    return this.#record;
  }

  /** As they are now, and stay. */
  facts(): SandboxFacts {
    const { id, spec, record, state } = this;
    return { id, spec, record, state };
  }

  get state(): SandboxState {
    return sandboxState(this.#record);
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
    if (this.state === "ready" && this.#box !== undefined && this.#box.exit === undefined) return this.#box;
    const why = this.#record.end?.reason ?? this.#box?.exit?.reason ?? "its Box is not running";
    throw new RuntimeError("failedPrecondition", `sandbox ${shortId(this.id)} is not ready: ${why}`);
  }

  /** For `SandboxStore`: what is on disk now. */
  setRecord(record: SandboxRecord): void {
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
