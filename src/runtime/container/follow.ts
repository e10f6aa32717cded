import { monotonicMs, nowNs } from "../../base/clock.js";
import { codeOf, messageOf } from "../../base/errors.js";
import { onItsOwn } from "../../base/hold.js";
import type { Logger } from "../../base/log.js";
import { orAborted } from "../../base/or-aborted.js";
import { sleep } from "../../base/stage.js";
import { untilDone } from "../../base/until-done.js";
import type { ExitStatus, ProcessRef } from "../../gen/agent/v1/agent.js";
import type { OutputReader } from "../../vmm/agent/agent-client.js";
import type { Box } from "../../vmm/box.js";
import type { LogFile } from "../logs/log-file.js";
import { pumpOutput, type PumpEnd } from "../logs/output-pump.js";
import { OutputTaps } from "../logs/output-taps.js";
import { sigkill } from "../spec/signals.js";
import type { ContainerExit } from "./container-record.js";
import type { Container, Follower } from "./container.js";
import type { ContainerStore } from "./container-store.js";
import { drainLimitMs } from "./limits.js";

const retryMs = 1_000;
/** An answer that took longer was waited for. The guest's clock may run behind under emulation: ours is better then. */
const seenLiveMs = 500;

/** The session's init process, as the agent names it. */
export function initOf(container: Container): ProcessRef {
  return { sessionId: container.id, execId: "" };
}

/**
 * Follows a running container: its output goes to the log, and its exit is recorded once the last byte of it is
 * written, so that a reader who sees EXITED finds the whole log (pkg/kubelet/kuberuntime/logs). Lines up to `resumeAfterNs` stand in
 * the log already.
 */
export function follow(
  container: Container,
  box: Box,
  file: LogFile | undefined,
  resumeAfterNs: bigint,
  store: ContainerStore,
  drainMs = drainLimitMs,
): void {
  const [stopped, logEnded] = [new AbortController(), new AbortController()];
  const log = logOf(container, store);
  const reader = box.agent.output(initOf(container), 0n, false, stopped.signal);
  const taps = new OutputTaps();
  let isAskedFor = false;
  const pumped = async (): Promise<void> => {
    const end = await pumpAndClose(reader, file, resumeAfterNs, taps, logEnded.signal, log);
    if (end === "broken") log[isAskedFor ? "debug" : "warn"]({}, "container output is incomplete");
  };
  const follower: Follower = {
    file,
    taps,
    done: pumped(),
    cutOff: () => {
      reader.close();
    },
    leave: () => {
      isAskedFor = true;
      reader.close();
    },
    abandonLog: () => {
      logEnded.abort();
      reader.close();
    },
    stop: () => {
      stopped.abort();
      follower.abandonLog();
    },
  };
  container.follower = follower;
  const drain = (): Promise<void> => drained(follower, drainMs, log);
  onItsOwn(() => watchExit(container, box, drain, stopped.signal, store)).catch((thrown: unknown) => {
    if (!stopped.signal.aborted) log.error({ err: messageOf(thrown) }, "container exit could not be recorded");
  });
}

async function pumpAndClose(
  reader: OutputReader,
  file: LogFile | undefined,
  resumeAfterNs: bigint,
  taps: OutputTaps,
  stopped: AbortSignal,
  log: Logger,
): Promise<PumpEnd> {
  const end = await pumpOutput(reader, file, resumeAfterNs, taps, stopped, log);
  try {
    await file?.close();
  } catch (thrown) {
    log.warn({ err: messageOf(thrown) }, "log file could not be closed");
  }
  return end;
}

async function watchExit(
  container: Container,
  box: Box,
  drain: () => Promise<void>,
  stopped: AbortSignal,
  store: ContainerStore,
): Promise<void> {
  const log = logOf(container, store);
  const exit = await observedExit(container, box, stopped, log);
  if (exit === undefined) return; // the Box's death is recorded by its sandbox's watch
  await endStragglers(container, box, stopped, log);
  await drain();
  await recordAtLast(container, exit, store, stopped);
}

/** However long the container is busy, and the disk takes no record: nobody else would tell of its end. */
export async function recordAtLast(
  container: Container,
  exit: ContainerExit,
  store: ContainerStore,
  signal: AbortSignal,
): Promise<void> {
  const record = (): Promise<void> => store.recordExit(container, exit);
  await untilDone(
    () => store.locks.runWhenFree(container.id, signal, record),
    signal,
    (thrown) => {
      const err = messageOf(thrown);
      logOf(container, store).error({ err }, "container exit could not be recorded; it is tried again");
    },
  );
}

function logOf({ id, sandboxId }: Container, { log }: ContainerStore): Logger {
  return log.child({ containerId: id, sandboxId });
}

/** Asks until the agent has answered or knows no such session; undefined when the Box has died or we are to stop. */
async function observedExit(
  container: Container,
  box: Box,
  stopped: AbortSignal,
  log: Logger,
): Promise<ContainerExit | undefined> {
  for (;;) {
    try {
      const askedMs = monotonicMs();
      const status = await box.agent.wait(initOf(container), stopped);
      return exitFact(status, container, monotonicMs() - askedMs > seenLiveMs);
    } catch (thrown) {
      if (stopped.aborted || box.exit !== undefined) return undefined;
      const err = messageOf(thrown);
      log.warn({ err }, "wait for container failed");
      if (codeOf(thrown) === "notFound") return lostExit(`the agent lost it: ${err}`, nowNs());
      await Promise.race([sleep(retryMs, stopped), box.exited]);
    }
  }
}

/** What init has started does not outlive it: those processes may hold the output open for ever. */
async function endStragglers(container: Container, box: Box, signal: AbortSignal, log: Logger): Promise<void> {
  try {
    await box.agent.signalProcess(initOf(container), sigkill, true, signal);
  } catch (thrown) {
    log.debug({ err: messageOf(thrown) }, "no stragglers killed");
  }
}

/** Waits for the output's end; cuts it off when it takes too long. */
export async function drained(follower: Follower, limitMs: number, log: Logger): Promise<void> {
  follower.taps.hurry();
  for (const [enough, what] of [
    [follower.cutOff, "container output did not end"],
    [follower.abandonLog, "container log did not end"],
  ] as const) {
    try {
      await orAborted(follower.done, AbortSignal.timeout(limitMs));
      return;
    } catch {
      log.warn({ limitMs }, what);
      enough();
    }
  }
}

/** An exit that came while we waited is now; one that was there already is when the guest says. */
function exitFact(status: ExitStatus, container: Container, seenLive: boolean): ContainerExit {
  const { code, oomKilled } = status;
  const { createdAtNs, startedAtNs } = container.record;
  return {
    atNs: seenLive ? nowNs() : plausibleNs(status.exitedAtNs, startedAtNs ?? createdAtNs),
    code: code & 0xff,
    reason: oomKilled ? "OOMKilled" : code === 0 ? "Completed" : "Error",
    message: "",
  };
}

/** Of a container whose end nobody saw. */
export function lostExit(message: string, atNs: bigint): ContainerExit {
  return { atNs, code: 128 + sigkill, reason: "Error", message };
}

/** What the guest's clock says, where that can be: later than what went before, and not in the future. Else now. */
export function plausibleNs(timeNs: bigint, afterNs: bigint): bigint {
  const now = nowNs();
  return timeNs > afterNs && timeNs <= now ? timeNs : now;
}
