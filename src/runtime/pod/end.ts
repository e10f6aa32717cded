import { nowNs } from "../../base/clock.js";
import { messageOf } from "../../base/errors.js";
import { onItsOwn } from "../../base/hold.js";
import type { Logger } from "../../base/log.js";
import { stage } from "../../base/stage.js";
import { untilDone } from "../../base/until-done.js";
import type { Box, BoxExit } from "../../vmm/box.js";
import type { Deps } from "../deps.js";
import { publish } from "../events/publish.js";
import { PodNetwork } from "./network.js";
import { PodFiles } from "./pod-files.js";
import type { Pod } from "./pod.js";

/** Killing the processes of a sandbox's containers, through an agent that may not answer. */
const stopContainersLimitMs = 10_000;
/** Over the Box's own grace. */
const reclaimLimitMs = 30_000;

/** From now on the Box's death turns the sandbox NOTREADY and its containers EXITED (pkg/kubelet/pleg). */
export function watchBox(sandbox: Pod, box: Box, deps: Deps): void {
  void onItsOwn(async () => {
    const exit = await box.exited;
    await whenRecorded(sandbox, () => boxDied(sandbox, exit, deps), deps);
  });
}

/** Records an end under the sandbox's lock, however long that is held and the disk takes no record. Never rejects. */
export async function whenRecorded(sandbox: Pod, record: () => Promise<void>, deps: Deps): Promise<void> {
  const { closing, log, sandboxes } = deps;
  const failed = (thrown: unknown): void => {
    const fields = { sandboxId: sandbox.id, err: messageOf(thrown) };
    log.error(fields, "the end of a Box could not be recorded; it is tried again");
  };
  const work = (): Promise<void> => sandboxes.locks.runWhenFree(sandbox.id, closing, record);
  await untilDone(work, closing, failed).catch(() => undefined); // the next daemon records it
}

/** The caller holds the sandbox's lock. */
async function boxDied(sandbox: Pod, exit: BoxExit, deps: Deps): Promise<void> {
  if (!deps.sandboxes.has(sandbox.id) || sandbox.record.end !== undefined) return; // stopped: `reclaim` does the rest
  await deps.sandboxes.update(sandbox, { end: exit });
  deps.log.warn({ sandboxId: sandbox.id, reason: exit.reason }, "sandbox lost its box");
  deps.metrics.boxes.lost();
  await recordBoxGone(sandbox, exit, deps);
}

/** Records that the Box is gone, and takes back what it had. The caller holds the sandbox's lock. */
export async function recordBoxGone(sandbox: Pod, exit: BoxExit, deps: Deps): Promise<void> {
  if (sandbox.record.end === undefined) await deps.sandboxes.update(sandbox, { end: exit });
  await deps.podContainers.boxExited(sandbox, exit);
  tellEnd(sandbox, deps);
  await discardBox(sandbox, deps, AbortSignal.timeout(reclaimLimitMs));
}

/** Once, after the ends of its containers. */
function tellEnd(sandbox: Pod, deps: Deps): void {
  if (sandbox.endTold) return;
  sandbox.endTold = true;
  publish(deps.events, "stopped", sandbox.id, sandbox, () => deps.containers.listOf(sandbox.id));
}

/**
 * Stops a sandbox, however far it has got before: containers killed, Box gone, network left, namespace dropped. The
 * record says NOTREADY first, so that nothing new starts in it. The caller holds the sandbox's lock.
 */
export async function stopSandbox(sandbox: Pod, deps: Deps, signal: AbortSignal): Promise<void> {
  const log = deps.log.child({ sandboxId: sandbox.id });
  if (sandbox.record.end === undefined) {
    await deps.sandboxes.update(sandbox, { end: { atNs: nowNs(), reason: "stopped by request" } });
    log.info({}, "sandbox stopping");
  }
  const { box } = sandbox;
  await orWarn(log, "containers did not stop; the box ends them", signal, () =>
    stage("stop containers", stopContainersLimitMs, signal, (limit) => deps.podContainers.stopAllOf(sandbox, limit)),
  );
  if (box !== undefined) {
    const graceMs = deps.config.sandbox.stopTimeoutMs;
    await orWarn(log, "box did not stop; it is killed", signal, () =>
      stage("stop box", graceMs + reclaimLimitMs, signal, (limit) => box.stop(graceMs, limit)),
    );
  }
  await deps.podContainers.boxExited(sandbox, box?.exit ?? sandbox.record.end ?? { atNs: nowNs(), reason: "stopped" });
  tellEnd(sandbox, deps);
  await discardBox(sandbox, deps, signal);
  const network = new PodNetwork(sandbox, deps);
  await network.leave(signal);
  await stage("remove netns", reclaimLimitMs, signal, () => network.removeNetns());
  // No container of this pod can come any more.
  await stage("remove pod files", reclaimLimitMs, signal, () => new PodFiles(sandbox, deps.native).remove());
}

/** Stops a sandbox and forgets it. The caller holds the sandbox's lock. */
export async function removeSandbox(sandbox: Pod, deps: Deps, signal: AbortSignal): Promise<void> {
  await stopSandbox(sandbox, deps, signal);
  await deps.podContainers.removeAllOf(sandbox, signal);
  await stage("remove record", reclaimLimitMs, signal, () => deps.sandboxes.remove(sandbox.id));
  publish(deps.events, "deleted", sandbox.id, sandbox, () => []);
  deps.log.info({ sandboxId: sandbox.id }, "sandbox removed");
}

/** Goes on after a failure, unless the caller has left: the next step is the harder one. */
async function orWarn(log: Logger, message: string, signal: AbortSignal, step: () => Promise<void>): Promise<void> {
  try {
    await step();
  } catch (thrown) {
    if (signal.aborted) throw thrown;
    log.warn({ err: messageOf(thrown) }, message);
  }
}

async function discardBox(sandbox: Pod, deps: Deps, signal: AbortSignal): Promise<void> {
  await stage("discard box", reclaimLimitMs, signal, (limit) =>
    deps.boxes.discard(sandbox.id, sandbox.record.box, limit),
  );
  sandbox.setBox(undefined);
}
