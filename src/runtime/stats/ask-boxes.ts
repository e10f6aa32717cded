import { messageOf } from "../../base/errors.js";
import { stage } from "../../base/stage.js";
import type { StatsResponse } from "../../gen/agent/v1/agent.js";
import type { Deps } from "../deps.js";

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
  const answers = new Map<string, StatsResponse>();
  await Promise.all(
    [...sandboxes].map(async (sandboxId) => {
      const sandbox = deps.sandboxes.find(sandboxId);
      const box = sandbox?.box;
      if (box === undefined || box.exit !== undefined || sandbox?.isPaused === true) return;
      try {
        const ask = (limit: AbortSignal): Promise<StatsResponse> => box.agent.stats({ sessionId: "", ...wish }, limit);
        answers.set(sandboxId, await stage("agent stats", stepLimitMs, signal, ask));
      } catch (thrown) {
        deps.log.warn({ sandboxId, err: messageOf(thrown) }, "no stats of a box");
      }
    }),
  );
  return answers;
}
