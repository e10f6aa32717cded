import { messageOf } from "../../base/errors.js";
import type { PodId } from "../../base/ids.js";
import type { Box } from "../../vmm/box.js";
import { qosOf } from "../pod/oom-score.js";
import { oomScoreAdj } from "../spec/resources.js";
import type { StoreParts } from "../store-parts.js";
import type { Container } from "./container.js";
import { CpuSets, placeIn } from "./cpu-sets.js";
import { OomScores, type PodScores } from "./oom-scores.js";

/** What of a pod's Box its containers decide together: where it runs, and how soon it is killed for memory. */
export class DecidedTogether {
  readonly cpuSets: CpuSets;
  readonly oomScores: OomScores;
  readonly #parts: Pick<StoreParts, "sandboxes" | "log">;
  readonly #aliveOf: (sandbox: PodId) => readonly Container[];

  /** `aliveOf`: the sandbox's containers that have not exited. */
  constructor(parts: Pick<StoreParts, "sandboxes" | "log">, aliveOf: (sandbox: PodId) => readonly Container[]) {
    this.#parts = parts;
    this.#aliveOf = aliveOf;
    this.cpuSets = new CpuSets(
      (sandbox) => new Map(aliveOf(sandbox).map(({ id, resources }) => [id, placeIn(resources)])),
      (sandbox) => parts.sandboxes.find(sandbox)?.boundary.sharesCpus === true,
    );
    this.oomScores = new OomScores((sandbox) => this.#scoresOf(sandbox));
  }

  /** The container's CPUs are not wanted any more. */
  async settleCpus(container: Container): Promise<void> {
    await this.#settle(container, this.cpuSets, "the pod stays on a container's CPUs");
  }

  /** What it counts for in its pod may have changed. */
  async settleScore(container: Container): Promise<void> {
    await this.#settle(container, this.oomScores, "the pod's OOM score can't be set");
  }

  #scoresOf(sandbox: PodId): PodScores | undefined {
    const pod = this.#parts.sandboxes.find(sandbox);
    if (pod?.boundary.sharesOomScore !== true) return undefined;
    const containers = this.#aliveOf(sandbox).map(({ resources }) => oomScoreAdj(resources) ?? 0);
    return { qos: qosOf(pod.spec.cgroupParent), containers };
  }

  /** A failure costs the container nothing. */
  async #settle(
    { id, sandboxId }: Container,
    kept: { settle(box: Box): Promise<void> },
    warning: string,
  ): Promise<void> {
    const { sandboxes, log } = this.#parts;
    const box = sandboxes.find(sandboxId)?.box;
    if (box === undefined) return;
    try {
      await kept.settle(box);
    } catch (thrown) {
      log.warn({ containerId: id, sandboxId, err: messageOf(thrown) }, warning);
    }
  }
}
