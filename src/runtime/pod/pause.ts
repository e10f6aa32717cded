/** A pod that stands still: its Box is stopped as it is, and goes on as if no time had passed (docs/adr/0127). */
import { nowNs } from "../../base/clock.js";
import { messageOf, RuntimeError } from "../../base/errors.js";
import { onItsOwn } from "../../base/hold.js";
import { shortId } from "../../base/ids.js";
import { stage } from "../../base/stage.js";
import type { Box } from "../../vmm/box.js";
import type { Deps } from "../deps.js";
import type { Pod } from "./pod.js";

const stepLimitMs = 10_000;
/** A guest that is too busy for that keeps what it has. */
const forgetLimitMs = 2_000;

/** Success where it is paused. `failedPrecondition` for one that is not ready, `unimplemented` for a pod of the host. */
export async function pausePod(sandbox: Pod, deps: Deps, signal: AbortSignal): Promise<void> {
  await sandbox.whenSettled(signal); // what takes its containers up takes the lock
  await deps.sandboxes.locks.run(sandbox.id, signal, async () => {
    if (sandbox.isPaused) return;
    const box = sandbox.runningBox();
    if (box.handle.driver === "native") {
      throw new RuntimeError(
        "unimplemented",
        `sandbox ${shortId(sandbox.id)} is a pod of the host, and can't be paused`,
      );
    }
    await forgetFiles(box, deps, signal);
    // The record first: a daemon that dies between the two has the next one stop the Box.
    await deps.sandboxes.update(sandbox, { pausedAtNs: nowNs() });
    try {
      await stage("pause box", stepLimitMs, signal, (limit) => box.pause(limit));
    } catch (thrown) {
      await deps.sandboxes.update(sandbox, { pausedAtNs: undefined });
      sandbox.wake(); // what came meanwhile was told to wait for that
      throw thrown;
    }
    deps.log.info({ sandboxId: sandbox.id }, "sandbox paused");
    void onItsOwn(() => box.giveMemoryBack());
  });
}

/** Success where it is not paused. `failedPrecondition` for one that is not ready. */
export async function resumePod(sandbox: Pod, deps: Deps, signal: AbortSignal): Promise<void> {
  await sandbox.whenSettled(signal);
  await deps.sandboxes.locks.run(sandbox.id, signal, async () => {
    if (!sandbox.isPaused) {
      sandbox.runningBox();
      return;
    }
    const box = sandbox.pausedBox();
    await stage("resume box", stepLimitMs, signal, (limit) => box.resume(limit));
    await deps.sandboxes.update(sandbox, { pausedAtNs: undefined });
    sandbox.wake();
    deps.log.info({ sandboxId: sandbox.id }, "sandbox goes on");
  });
}

/** What the guest knows of files that nobody uses costs its file server a descriptor each, and memory of both. */
async function forgetFiles(box: Box, deps: Deps, signal: AbortSignal): Promise<void> {
  try {
    await stage("forget files", forgetLimitMs, signal, (limit) => box.agent.dropCaches(limit));
  } catch (thrown) {
    signal.throwIfAborted();
    deps.log.debug({ sandboxId: box.id, err: messageOf(thrown) }, "a guest is paused with all that it knows");
  }
}
