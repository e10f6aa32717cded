import { codeOf, messageOf, RuntimeError } from "../../../base/errors.js";
import { onItsOwn } from "../../../base/hold.js";
import { sleep } from "../../../base/stage.js";
import { Stream, type ExitStatus } from "../../../gen/agent/v1/agent.js";
import { sigkill } from "../../../runtime/spec/signals.js";
import type { Box } from "../../../vmm/box.js";
import type { ProcessExit } from "../process.js";
import { Deadline } from "./deadline.js";
import type { KeptProcess } from "./kept-process.js";

const retryMs = 1_000;
const longestRetryMs = 60_000;
/** A connection is seen to drop before its Box is seen to end. */
const deathNoticeMs = 2_500;
const forgetLimitMs = 30_000;
const lastSignal = 64;

/**
 * Moves what a running process writes into its ring, from the last whole chunk there on, until it has ended and its exit is
 * on record; then the agent forgets it. One that an earlier daemon has followed is taken up where that was killed: what
 * was not acknowledged comes again, and what stands in the ring is left out.
 */
export function follow(process: KeptProcess, box: Box, ended: () => void): void {
  const { wanted, startedAtMs } = process.record;
  if (wanted.limitMs > 0) {
    process.limit = new Deadline(startedAtMs + wanted.limitMs, () => void killAtLimit(process, box));
  }
  process.following = onItsOwn(async () => {
    const exit = await observedExit(process, box);
    process.limit?.clear();
    if (exit === undefined) return;
    await recordEnd(process, exit, box);
    ended();
    void forgetInAgent(process, box); // nothing waits for it, and it never rejects
  }).catch((thrown: unknown) => {
    const { signal } = process.over;
    if (signal.aborted && codeOf(signal.reason) === "notFound") void forgetInAgent(process, box);
    if (signal.aborted) return;
    process.log.error({ process: process.number, err: messageOf(thrown) }, "end of a process could not be recorded");
  });
}

/** Until the disk takes it: the agent keeps the exit for as long, and has it for the next daemon too. */
async function recordEnd(process: KeptProcess, exit: ProcessExit, box: Box): Promise<void> {
  for (let pauseMs = retryMs; ; pauseMs = Math.min(2 * pauseMs, longestRetryMs)) {
    try {
      await process.ended(exit);
      return;
    } catch (thrown) {
      if (box.exit !== undefined || process.over.signal.aborted) throw thrown;
      process.log.warn({ process: process.number, err: messageOf(thrown) }, "exit of a process is not on record yet");
      await sleep(pauseMs, process.over.signal);
    }
  }
}

/** Of what is gone with its Box, or with the container. */
export function lostExit(why: string): ProcessExit {
  return { code: 128 + sigkill, signal: sigkill, atMs: Date.now(), timedOut: false, lost: why };
}

/** Undefined: it is over for another reason (`KeptProcess.over`). */
async function observedExit(process: KeptProcess, box: Box): Promise<ProcessExit | undefined> {
  const { signal } = process.over;
  for (let level: "warn" | "debug" = "warn"; ; level = "debug") {
    try {
      await pump(process, box, signal);
      const exit = await box.agent.wait(process.process, signal);
      return exitOf(exit, process);
    } catch (thrown) {
      if (signal.aborted) return undefined;
      const end = await endOf(box, thrown);
      if (end !== undefined) return lostExit(end);
      process.log[level]({ process: process.number, err: messageOf(thrown) }, "a process could not be followed");
      if (codeOf(thrown) === "notFound") return lostExit("the guest does not know it any more");
      await sleep(retryMs, signal).catch(() => undefined);
    }
  }
}

async function pump(process: KeptProcess, { agent }: Box, signal: AbortSignal): Promise<void> {
  const ring = await process.ring();
  const reader = agent.output(process.process, ring.sequence, false, signal);
  try {
    for await (const chunk of reader) {
      // Not the end: once that is acknowledged the agent has nothing more to send to who comes after us.
      if (chunk.end) return;
      await ring.append(chunk.stream === Stream.STDERR ? "stderr" : "stdout", chunk.sequence, chunk.data);
      reader.acknowledge(chunk.sequence);
    }
    throw new RuntimeError("unavailable", "the output broke off");
  } finally {
    reader.close();
  }
}

/** Why the Box is gone, where it is; it may be about to be seen. */
async function endOf(box: Box, thrown: unknown): Promise<string | undefined> {
  if (["unavailable", "brokenContract"].includes(codeOf(thrown))) {
    const stop = new AbortController();
    await Promise.race([box.exited, sleep(deathNoticeMs, stop.signal).catch(() => undefined)]);
    stop.abort();
  }
  return box.exit?.reason;
}

function exitOf({ code, signal, exitedAtNs }: ExitStatus, { record }: KeptProcess): ProcessExit {
  const now = Date.now();
  const saidMs = Number(exitedAtNs / 1_000_000n);
  const number = Math.min(signal, lastSignal);
  return {
    code: number === 0 ? code & 0xff : 128 + number,
    signal: number,
    // The guest's clock, where that can be.
    atMs: saidMs >= record.startedAtMs && saidMs <= now ? saidMs : now,
    timedOut: record.limitPassed === true && number === sigkill,
  };
}

/** All that it has started, however long the agent can't be reached; the record says first why. */
async function killAtLimit(process: KeptProcess, box: Box): Promise<void> {
  const { signal } = process.over;
  await process.update({ limitPassed: true }).catch(() => undefined);
  while (process.exit === undefined && box.exit === undefined && !signal.aborted) {
    try {
      await box.agent.signalProcess(process.process, sigkill, true, signal);
      return;
    } catch (thrown) {
      if (codeOf(thrown) === "notFound") return;
      process.log.debug({ process: process.number, err: messageOf(thrown) }, "a process is over its time");
      await sleep(retryMs, signal).catch(() => undefined);
    }
  }
}

/** Kills it, with what it has started, where it runs. Success when it is not known; a failure is the Box's end, or a restart's to repair. */
export async function forgetInAgent(process: KeptProcess, box: Box): Promise<void> {
  if (box.exit !== undefined) return;
  try {
    const { sessionId, execId } = process.process;
    await box.agent.forgetExec(sessionId, execId, AbortSignal.timeout(forgetLimitMs));
  } catch (thrown) {
    process.log.warn({ process: process.number, err: messageOf(thrown) }, "an exec could not be forgotten");
  }
}
