/** Calls as kubelet makes them: what a daemon's death or a fault on purpose has broken off is asked for again. */
import { setTimeout as delay } from "node:timers/promises";
import { isServiceError, status } from "../cri-client.js";
import { DaemonIsDown } from "../daemon.js";
import { limit } from "../wait.js";

const giveUpMs = 240_000;
const pauseMs = 200;

export class Insist {
  calls = 0;
  brokenByRestart = 0;
  brokenByFault = 0;
  /** Pods that have come up. */
  pods = 0;

  /** `settled` may find in an error that what was asked for is there. */
  async on<T>(
    what: string,
    work: () => Promise<T>,
    settled: (thrown: unknown) => T | undefined = () => undefined,
  ): Promise<T> {
    const endMs = performance.now() + limit(giveUpMs);
    this.calls++;
    for (;;) {
      try {
        return await work();
      } catch (thrown) {
        const there = settled(thrown);
        if (there !== undefined) return there;
        if (!this.#passes(thrown) || performance.now() > endMs) {
          throw new Error(`${what}: ${messageOf(thrown)}`, { cause: thrown });
        }
        await delay(pauseMs);
      }
    }
  }

  /** An error that is the soak's own doing, or has one for its cause. */
  #passes(thrown: unknown): boolean {
    if (thrown instanceof Error && thrown.cause instanceof Error && this.#passes(thrown.cause)) return true;
    if (isFault(thrown)) {
      this.brokenByFault++;
      return true;
    }
    const restart = thrown instanceof DaemonIsDown || isCutOff(thrown);
    if (restart) this.brokenByRestart++;
    return restart;
  }
}

/**
 * The connection ended with no answer. This client says INTERNAL where a daemon that ends in order has said that it takes
 * no more calls, and is gone before it could answer this one.
 */
function isCutOff(thrown: unknown): boolean {
  if (!isServiceError(thrown)) return false;
  if (thrown.code === status.INTERNAL) return thrown.details.includes("Call ended without gRPC status");
  return thrown.code === status.UNAVAILABLE || thrown.code === status.CANCELLED;
}

export function isFault(thrown: unknown): boolean {
  return thrown instanceof Error && thrown.message.includes("fails on purpose");
}

/** The id that ALREADY_EXISTS names. */
export function existingId(thrown: unknown): string | undefined {
  if (!isServiceError(thrown) || thrown.code !== status.ALREADY_EXISTS) return undefined;
  return /exists with id ([0-9a-f]{64})/.exec(thrown.details)?.[1];
}

export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
