/** What the end of a sandbox means for its containers; the sandbox's own life calls it under its lock. */
import { neverAborted } from "../../base/signals.js";
import { messageOf } from "../../base/errors.js";
import { onItsOwn } from "../../base/hold.js";
import { stage } from "../../base/stage.js";
import type { BoxExit } from "../../vmm/box.js";
import type { Pod } from "../pod/pod.js";
import type { Container } from "./container.js";
import type { ContainerStore } from "./container-store.js";
import { drained, lostExit, recordAtLast } from "./follow.js";
import { brokenDrainLimitMs, longStepLimitMs, stepLimitMs as recordLimitMs } from "./limits.js";
import { stopRunning } from "./stop.js";

export async function stopAllOf(sandbox: Pod, store: ContainerStore, signal: AbortSignal): Promise<void> {
  const box = sandbox.box;
  if (box === undefined || box.exit !== undefined) return; // `boxExited` records the ends
  await Promise.all(
    store.listOf(sandbox.id).map(async (container) => {
      // In one that stands still nothing hears a signal, or writes: its Box is killed, and they with it.
      if (sandbox.isPaused) container.follower?.leave();
      else await stopRunning(container, 0, store, signal);
      if (container.spec.disk !== undefined) await abandonDisk(container, store, signal);
    }),
  );
}

/** No container starts twice: its Box, which has the last mounts of it, ends without writing it all to the host's disk. */
async function abandonDisk({ id }: Container, store: ContainerStore, signal: AbortSignal): Promise<void> {
  try {
    await stage("abandon disk", recordLimitMs, signal, () => store.parts.images.abandonSnapshot(id));
  } catch (thrown) {
    if (signal.aborted) throw thrown;
    store.log.warn({ containerId: id, err: messageOf(thrown) }, "a disk is written to its end before it goes");
  }
}

export async function boxExited(sandbox: Pod, exit: BoxExit, store: ContainerStore): Promise<void> {
  await Promise.all(
    store.listOf(sandbox.id).map(async (container) => {
      const { follower } = container;
      if (follower !== undefined) await drained(follower, brokenDrainLimitMs, store.log);
      await recordLost(container, exit, store);
    }),
  );
}

/** Where a step that was given up holds the container, its end is recorded once that has settled: nothing waits for it. */
async function recordLost(container: Container, exit: BoxExit, store: ContainerStore): Promise<void> {
  const record = (): Promise<void> => store.recordExit(container, lostExit(exit.reason, exit.atNs));
  try {
    await store.locks.run(container.id, AbortSignal.timeout(recordLimitMs), record);
  } catch (thrown) {
    const err = messageOf(thrown);
    store.log.warn({ containerId: container.id, err }, "the end of a container is recorded later");
    void onItsOwn(() => recordAtLast(container, lostExit(exit.reason, exit.atNs), store, neverAborted));
  }
}

export async function removeAllOf(sandbox: Pod, store: ContainerStore, signal: AbortSignal): Promise<void> {
  await store.creationsOf(sandbox.id, signal);
  for (const container of store.listOf(sandbox.id)) {
    await store.locks.run(container.id, signal, async () => {
      await stage("remove snapshot", longStepLimitMs, signal, (limit) =>
        store.parts.images.removeSnapshot(container.id, limit),
      );
      await store.remove(container.id);
    });
  }
}
