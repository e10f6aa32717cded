import { nowNs } from "../../base/clock.js";
import { messageOf, RuntimeError } from "../../base/errors.js";
import { shortId } from "../../base/ids.js";
import { operation, stage } from "../../base/stage.js";
import type { Box } from "../../vmm/box.js";
import type { Deps } from "../deps.js";
import { LogFile } from "../logs/log-file.js";
import { mostLogBytes } from "../logs/most-log-bytes.js";
import type { Container } from "./container.js";
import { follow } from "./follow.js";
import { startLimitMs, stepLimitMs, undoLimitMs } from "./limits.js";

/** containerd's choice for a program that could not be started (its core/runtime and internal/cri). */
const startErrorCode = 128;

/**
 * Starts a created container under its own deadline; the caller may leave. A container that could not be started is
 * EXITED with reason StartError: the next try is a new container (pkg/kubelet/kuberuntime).
 */
export async function startContainerIn(container: Container, deps: Deps): Promise<void> {
  await operation(`start container ${shortId(container.id)}`, startLimitMs, deps.closing, (signal) =>
    startInTurn(container, deps, signal),
  );
}

/** What takes the container up after a restart needs its lock: that is waited for before. */
async function startInTurn(container: Container, deps: Deps, signal: AbortSignal): Promise<void> {
  await deps.sandboxes.find(container.sandboxId)?.whenSettled(signal);
  await deps.containers.locks.run(container.id, signal, () => start(container, deps, signal));
}

async function start(container: Container, deps: Deps, signal: AbortSignal): Promise<void> {
  if (container.state !== "created" || !deps.containers.has(container.id)) {
    throw new RuntimeError("failedPrecondition", `container ${shortId(container.id)} is ${container.state}`, {
      hint: "only a created container can be started",
    });
  }
  const box = await deps.sandboxes.require(container.sandboxId).liveBox(signal);
  try {
    await startOn(container, box, deps, signal);
  } catch (thrown) {
    if (box.exit !== undefined || deps.closing.aborted) throw thrown; // the Box's end is recorded elsewhere
    await endSession(container, box, deps);
    await deps.containers.recordExit(container, {
      atNs: nowNs(),
      code: startErrorCode,
      reason: "StartError",
      message: messageOf(thrown),
    });
    throw thrown;
  }
}

async function startOn(container: Container, box: Box, deps: Deps, signal: AbortSignal): Promise<void> {
  const { startFailure, logPath } = container.record;
  const mostBytes = mostLogBytes(deps.sandboxes.require(container.sandboxId).spec);
  if (startFailure !== undefined) throw new RuntimeError("failedPrecondition", startFailure);
  const file =
    logPath === ""
      ? undefined
      : await stage(
          "open log",
          stepLimitMs,
          signal,
          (limit) => LogFile.open(logPath, deps.log, limit, mostBytes),
          (late) => late.close(),
        );
  try {
    await box.agent.startSession(container.id, signal);
    const startedAtNs = nowNs(); // the guest's clock may be behind
    await stage("write record", stepLimitMs, signal, () => deps.containers.update(container, { startedAtNs }));
  } catch (thrown) {
    await file?.close();
    throw thrown;
  }
  follow(container, box, file, 0n, deps.containers);
  deps.log.info({ containerId: container.id, sandboxId: container.sandboxId }, "container started");
}

/** It may run although the answer was lost. */
async function endSession(container: Container, box: Box, deps: Deps): Promise<void> {
  try {
    await box.agent.deleteSession(container.id, AbortSignal.timeout(undoLimitMs));
  } catch (thrown) {
    deps.log.warn({ containerId: container.id, err: messageOf(thrown) }, "session could not be deleted");
  }
}
