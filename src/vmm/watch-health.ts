import type { BoxId } from "../base/ids.js";
import type { Logger } from "../base/log.js";
import { sleep } from "../base/stage.js";
import { anyOf } from "../base/signals.js";
import type { AgentClient } from "./agent/agent-client.js";

export interface Health {
  readonly id: BoxId;
  readonly agent: Pick<AgentClient, "listSessions" | "isResting" | "awake">;
  /** Agent's silence that a Box is given up after; 0: never. */
  readonly timeoutMs: number;
  /** Of a Box that was found again: a node's many, found at once, are asked one after the other. */
  readonly spread?: boolean;
  /** Ends the Box, with the reason. */
  readonly giveUp: (reason: string) => void;
  /** Aborts when the Box has ended. */
  readonly over: AbortSignal;
  readonly log: Logger;
}

/** A question that long is worth another; a Box is asked as often. */
const longestProbeMs = 10_000;
/** A Box is given up only after this many questions in a row without an answer. */
const fewestProbes = 4;

/**
 * Asks the agent now and then whether it is there. A guest that hangs, and a VMM that is stopped, are seen by nothing
 * else: their processes live. Counts questions and not the clock: a daemon that was itself stopped has missed none. A guest that
 * rests is not asked, and what was missed before that counts no more.
 */
export async function watchHealth({ id, agent, timeoutMs, spread, giveUp, over, log }: Health): Promise<void> {
  if (timeoutMs === 0) return;
  const probeMs = Math.min(longestProbeMs, Math.ceil(timeoutMs / fewestProbes));
  const allowed = Math.ceil(timeoutMs / probeMs);
  const rests = (): boolean => agent.isResting;
  let missed = 0;
  if (spread === true) await sleep(probeMs * placeOf(id), over).catch(() => undefined);
  while (!over.aborted) {
    if (rests()) {
      await agent.awake(over).catch(() => undefined);
      missed = 0;
      continue;
    }
    const beganMs = performance.now();
    const answered = await answers(agent, probeMs, over);
    if (answered === undefined) return;
    if (rests()) continue;
    if (answered && missed > 1) log.info({ missed }, "the agent answers again");
    missed = answered ? 0 : missed + 1;
    if (missed === 2) log.warn({ probeMs }, "the agent does not answer");
    if (missed >= allowed) {
      giveUp(`the guest has not answered for ${(allowed * probeMs) / 1000} s`);
      return;
    }
    const restMs = Math.max(0, probeMs - (performance.now() - beganMs));
    await sleep(restMs, over).catch(() => undefined);
  }
}

/** From 0 to 1: ids are random. */
function placeOf(id: BoxId): number {
  return Number.parseInt(id.slice(0, 4), 16) / 0xffff;
}

/** Undefined when the Box is over. */
async function answers(agent: Health["agent"], limitMs: number, over: AbortSignal): Promise<boolean | undefined> {
  try {
    await agent.listSessions(anyOf(over, AbortSignal.timeout(limitMs)));
    return true;
  } catch {
    return over.aborted ? undefined : false;
  }
}
