import { codeOf, RuntimeError } from "../../base/errors.js";
import { shortId } from "../../base/ids.js";
import { anyOf } from "../../base/signals.js";
import type { Box } from "../../vmm/box.js";
import type { Pod } from "../pod/pod.js";
import { sigkill } from "../spec/signals.js";
import type { Container } from "./container.js";
import type { ContainerStore } from "./container-store.js";
import { initOf } from "./follow.js";
import { killLimitMs, takeUpLimitMs } from "./limits.js";

/**
 * Ends a running container and resolves when its exit has been recorded: the stop signal to init, the grace, then
 * SIGKILL to all of it. A grace of 0 is SIGKILL at once. Success when it does not run.
 */
export async function stopRunning(
  container: Container,
  graceMs: number,
  store: ContainerStore,
  signal: AbortSignal,
): Promise<void> {
  if (container.state !== "running") return;
  const sandbox = store.parts.sandboxes.find(container.sandboxId);
  // One that is being stopped itself is not waited for: its lock is held, and its end is the Box's.
  if (sandbox?.state === "ready") await settledSoon(sandbox, signal);
  const box = sandbox?.box;
  if (box !== undefined && box.exit === undefined) {
    if (graceMs > 0) {
      await sendSignal(container, box, container.record.stopSignal, false, signal);
      if (await container.exitsWithin(graceMs, signal)) return;
      store.log.info({ containerId: container.id, graceMs }, "container did not stop in time; killed");
    }
    await sendSignal(container, box, sigkill, true, signal);
  }
  if (await container.exitsWithin(killLimitMs, signal)) return;
  throw new RuntimeError(
    "deadlineExceeded",
    `container ${shortId(container.id)} did not end within ${killLimitMs} ms`,
    {
      stage: "stop container",
      hint: "stop its sandbox",
    },
  );
}

/** After a daemon restart; a guest that hangs is told by what follows, and its pod can be stopped. */
async function settledSoon(sandbox: Pod, signal: AbortSignal): Promise<void> {
  const limit = AbortSignal.timeout(takeUpLimitMs);
  try {
    await sandbox.whenSettled(anyOf(signal, limit));
  } catch (thrown) {
    if (signal.aborted || !limit.aborted) throw thrown;
  }
}

/** A session that the agent has lost, or a Box that dies meanwhile, has no processes: the exit is being recorded. */
async function sendSignal(
  container: Container,
  box: Box,
  number: number,
  all: boolean,
  signal: AbortSignal,
): Promise<void> {
  try {
    await box.agent.signalProcess(initOf(container), number, all, signal);
  } catch (thrown) {
    if (codeOf(thrown) !== "notFound" && box.exit === undefined) throw thrown;
  }
}
