import { messageOf } from "../../../base/errors.js";
import type { DetachedExecs } from "../../../runtime/exec/detached-execs.js";
import { keptExecPrefix } from "../../../runtime/exec/exec-spec.js";
import type { Box } from "../../../vmm/box.js";
import { follow, lostExit } from "./follow.js";
import type { KeptProcess } from "./kept-process.js";

export interface TakingUp {
  readonly execs: DetachedExecs;
  readonly processes: readonly KeptProcess[];
  /** Of those that run, and those that are being started meanwhile. */
  readonly isWanted: (execId: string) => boolean;
  readonly drop: (process: KeptProcess) => Promise<void>;
  readonly ended: () => void;
  readonly signal: AbortSignal;
}

/**
 * Makes processes of an earlier daemon what they are now. Those that the agent knows are followed on, and tell themselves
 * when they have ended; it keeps their exits until they are forgotten.
 */
export async function takeUpAll({ execs, processes, isWanted, drop, ended, signal }: TakingUp): Promise<void> {
  const left = processes.filter((process) => process.exit === undefined && !process.isFollowed);
  const found = await known(execs, signal);
  if (typeof found === "string") {
    for (const process of left) await process.ended(lostExit(found));
    return;
  }
  const { box, execIds } = found;
  for (const process of left) {
    if (execIds === undefined) await process.ended(lostExit("its container has gone"));
    else if (execIds.has(process.process.execId)) follow(process, box, ended);
    else if ((await process.ring()).end > 0) await process.ended(lostExit("the guest does not know it any more"));
    else await drop(process); // the daemon was killed before it was started
  }
  for (const execId of execIds ?? []) {
    if (!execId.startsWith(keptExecPrefix) || isWanted(execId)) continue;
    await box.agent.forgetExec(execs.sessionId, execId, signal);
  }
}

interface Found {
  readonly box: Box;
  /** Undefined: the agent does not know the container. */
  readonly execIds: ReadonlySet<string> | undefined;
}

/** Or why there is no Box any more. */
async function known(execs: DetachedExecs, signal: AbortSignal): Promise<Found | string> {
  let box: Box | undefined;
  try {
    box = await execs.box(signal);
    const sessions = await box.agent.reach(signal);
    const session = sessions.find(({ sessionId }) => sessionId === execs.sessionId);
    return { box, execIds: session === undefined ? undefined : new Set(session.execIds) };
  } catch (thrown) {
    signal.throwIfAborted();
    return box?.exit?.reason ?? messageOf(thrown);
  }
}
