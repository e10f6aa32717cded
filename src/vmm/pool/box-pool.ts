import type { BoxId } from "../../base/ids.js";
import type { PoolSize, PoolWish } from "./pool-class.js";

/** A pod's from now on: its id is the pod's. */
export interface TakenBox extends PoolSize {
  readonly id: BoxId;
}

export interface PoolFacts {
  readonly classes: readonly {
    readonly name: string;
    readonly wanted: number;
    readonly ready: number;
  }[];
  /** When the oldest that is ready came up; undefined: none is. */
  readonly oldestNs: bigint | undefined;
  /** Of the classes whose last Box could not be made, why the latest could not; undefined: all could. */
  readonly failure: string | undefined;
}

/**
 * Boxes that are up, with a network namespace of their own and nothing of any pod in them (docs/adr/0134). Each has the id that
 * its pod will have. It is in the pool or a pod's, and never goes back.
 */
export interface BoxPool {
  /**
   * Never waits. Who takes one writes its pod's record, then calls `leave`, then boots it (`BoxFactory.boot`), or discards it.
   * Undefined: none would do.
   */
  take(wish: PoolWish): TakenBox | undefined;
  /** Writes down that it is a pod's, and in which groups it is going to be: nothing of the pod may touch it before. */
  leave(id: BoxId, cgroupParent: string): Promise<void>;
  /** Of one that was taken and is not booted. Success for any other. */
  discard(id: BoxId, signal: AbortSignal): Promise<void>;
  /** All that are no pod's, or not yet on its record. */
  ids(): readonly BoxId[];
  /**
   * Takes up what an earlier daemon had ready, but for what pods have; from then on it is kept full, until the signal aborts.
   * What is not like those that this daemon makes is discarded.
   */
  adopt(isPods: (id: BoxId) => boolean, closing: AbortSignal): Promise<void>;
  /** Resolves when nothing is made any more. */
  idle(): Promise<void>;
  readonly facts: PoolFacts;
  /** Bytes of the host that those which are ready take. */
  memory(): Promise<bigint>;
}
