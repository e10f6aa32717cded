import { messageOf } from "../../base/errors.js";
import { stage } from "../../base/stage.js";
import type { StatsResponse } from "../../gen/agent/v1/agent.js";
import type { Box } from "../../vmm/box.js";
import type { Deps } from "../deps.js";
import type { Pod } from "../pod/pod.js";

const stepLimitMs = 10_000;

/** What is measured only when asked for. */
export interface StatsWish {
  /** Processes and what they hold open. */
  readonly processes: boolean;
  /** Only what is asked for often: StatsRequest.brief of the contract. */
  readonly brief: boolean;
}

/** What kubelet wants of containers and of pods every ten seconds. */
const often: StatsWish = { processes: false, brief: true };

/** By sandbox: of those whose Box has answered. */
export type BoxAnswers = ReadonlyMap<string, StatsResponse>;

/** The counters of Boxes that live, one call for each, all side by side. One that does not answer is left out, and so is one that is paused. */
export async function askBoxes(
  sandboxes: Iterable<string>,
  deps: Deps,
  signal: AbortSignal,
  wish = often,
): Promise<BoxAnswers> {
  const answered = new Map<string, StatsResponse>();
  await Promise.all(
    [...sandboxes].map(async (sandboxId) => {
      const sandbox = deps.sandboxes.find(sandboxId);
      const box = sandbox?.box;
      if (sandbox === undefined || box === undefined || !answers(sandbox, box)) return;
      try {
        const ask = (limit: AbortSignal): Promise<StatsResponse> => box.agent.stats({ sessionId: "", ...wish }, limit);
        answered.set(sandboxId, await stage("agent stats", stepLimitMs, signal, ask));
      } catch (thrown) {
        const isWorth = answers(sandbox, box) && !signal.aborted;
        deps.log[isWorth ? "warn" : "debug"]({ sandboxId, err: messageOf(thrown) }, "no stats of a box");
      }
    }),
  );
  return answered;
}

/** One that ends or was paused meanwhile has nothing to say, and nothing is wrong with it. */
function answers({ isPaused, state }: Pod, { exit }: Box): boolean {
  return state === "ready" && !isPaused && exit === undefined;
}
