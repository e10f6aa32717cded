/** Taking up what runs in a Box whose daemon has gone, however busy its guest is. */
import { codeOf, messageOf } from "../../base/errors.js";
import { anyOf } from "../../base/signals.js";
import { sleep, stage } from "../../base/stage.js";
import { SessionState, type Session } from "../../gen/agent/v1/agent.js";
import type { Box } from "../../vmm/box.js";
import type { Deps } from "../deps.js";
import type { Pod } from "./pod.js";

/** A guest answers within milliseconds; one that shares two processors with a hundred others within seconds. */
const firstAnswerMs = 2_000;
const longestAnswerMs = 30_000;
/** Before it is asked again. */
const shortestPauseMs = 100;
const longestPauseMs = 5_000;
/** What is left to do then is the host's, but for sessions that no record names. */
const takeUpLimitMs = 60_000;
/** Over the time that the output of a container that has ended may take. */
const endsLimitMs = 15_000;

/**
 * Asks the guest until it answers, takes its containers up (watches, logs, exits), and ends when that is done or the
 * sandbox is READY no more: what waits for `sandbox.whenSettled` goes on then. The lock is free while the guest is waited
 * for: its pod can be stopped. `told` settles when the ends that had come meanwhile are recorded too.
 */
export async function takeUp(sandbox: Pod, box: Box, deps: Deps): Promise<{ readonly told: Promise<void> }> {
  const log = deps.log.child({ sandboxId: sandbox.id });
  const over = overWith(box, deps.closing);
  const lives = (): boolean => sandbox.state === "ready" && !over.aborted;
  let [answerMs, pauseMs] = [firstAnswerMs, shortestPauseMs];
  while (lives()) {
    try {
      const sessions = await answerOf(box, answerMs, over);
      await takeUpContainers(sandbox, sessions, deps, over);
      return { told: tellAdopted(sandbox, sessions, deps, over) };
    } catch (thrown) {
      if (!lives()) break;
      const say = answerMs === firstAnswerMs ? log.warn.bind(log) : log.debug.bind(log);
      say({ err: messageOf(thrown) }, "the Box lives, its containers can't be taken up yet");
    }
    await sleep(pauseMs, over).catch(() => undefined);
    answerMs = Math.min(answerMs * 2, longestAnswerMs);
    pauseMs = Math.min(pauseMs * 2, longestPauseMs);
  }
  return { told: Promise.resolve() };
}

/** A signal of its own for each Box: a node's many would wait on the daemon's at the same time. */
function overWith(box: Box, closing: AbortSignal): AbortSignal {
  const gone = new AbortController();
  void box.exited.then(() => {
    gone.abort();
  });
  return anyOf(gone.signal, closing);
}

/** A connection on which nothing is heard is dropped: it may lead nowhere (docs/adr/0068), and another one is cheap. */
async function answerOf(box: Box, limitMs: number, over: AbortSignal): Promise<Session[]> {
  try {
    return await stage("recover: wait for guest", limitMs, over, (signal) => box.agent.reach(signal));
  } catch (thrown) {
    if (codeOf(thrown) === "deadlineExceeded") box.agent.hangUp();
    throw thrown;
  }
}

async function takeUpContainers(
  sandbox: Pod,
  sessions: readonly Session[],
  deps: Deps,
  over: AbortSignal,
): Promise<void> {
  await deps.sandboxes.locks.run(sandbox.id, over, async () => {
    if (sandbox.state !== "ready") return;
    await stage("recover: take up containers", takeUpLimitMs, over, (signal) =>
      deps.podContainers.takeUpOf(sandbox, sessions, signal),
    );
  });
}

/** Adopted is a sandbox whose containers show what has become of them: ends of the time without a daemon are recorded. */
async function tellAdopted(sandbox: Pod, sessions: readonly Session[], deps: Deps, over: AbortSignal): Promise<void> {
  const ended = new Set(
    sessions.filter(({ state }) => state === SessionState.EXITED).map(({ sessionId }) => sessionId),
  );
  const ending = deps.containers.listOf(sandbox.id).filter(({ id }) => ended.has(id));
  await Promise.allSettled(ending.map((container) => container.exitsWithin(endsLimitMs, over)));
  if (over.aborted || sandbox.state !== "ready") return;
  deps.metrics.boxes.recovered("adopted");
  deps.log.info({ sandboxId: sandbox.id, outcome: "adopted" }, "sandbox recovered");
}
