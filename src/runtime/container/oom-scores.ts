import type { PodId } from "../../base/ids.js";
import { Limiter } from "../../base/limiter.js";
import type { Box } from "../../vmm/box.js";
import { podOomScore, type PodQos } from "../pod/oom-score.js";

/** A score is a write to a file of the kernel's; who waits for another's waits no longer than that could take. */
const settleLimitMs = 10_000;

/** What of a pod its Box's score is made of. */
export interface PodScores {
  readonly qos: PodQos;
  /** Those of its containers that have not exited. */
  readonly containers: readonly number[];
}

/**
 * Keeps the processes of Boxes at the OOM score that kubelet means for their pods (docs/adr/0079), as containers come and
 * go. Where each container has one of its own there is none.
 */
export class OomScores {
  readonly #locks = new Limiter<PodId>({ perKey: 1 });
  /** undefined: the pod has none that is its containers' together. */
  readonly #of: (sandbox: PodId) => PodScores | undefined;
  /** What was set last, by this daemon. */
  readonly #set = new WeakMap<Box, number>();

  constructor(of: (sandbox: PodId) => PodScores | undefined) {
    this.#of = of;
  }

  /** Sets what the containers come to now; a Box that was running before this daemon has been given nothing yet. */
  async settle(box: Box): Promise<void> {
    await this.#locks.runWhenFree(box.id, AbortSignal.timeout(settleLimitMs), async () => {
      const pod = this.#of(box.id);
      if (box.exit !== undefined || pod === undefined) return;
      const score = podOomScore(pod.qos, pod.containers);
      if (this.#set.get(box) === score) return;
      await box.setOomScore(score);
      this.#set.set(box, score);
    });
  }
}
