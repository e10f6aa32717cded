/** What the end of a sandbox means for its containers; the sandbox's own life calls it under its lock. */
import { stage } from "../../base/stage.js";
import type { BoxExit } from "../../vmm/box.js";
import type { Sandbox } from "../sandbox/sandbox.js";
import type { ContainerStore } from "./container-store.js";
import { drained, lostExit } from "./follow.js";
import { brokenDrainLimitMs, longStepLimitMs } from "./limits.js";
import { stopRunning } from "./stop.js";

export async function stopAllOf(sandbox: Sandbox, store: ContainerStore, signal: AbortSignal): Promise<void> {
  const box = sandbox.box;
  if (box === undefined || box.exit !== undefined) return; // `boxExited` records the ends
  await Promise.all(store.listOf(sandbox.id).map((container) => stopRunning(container, 0, store, signal)));
}

export async function boxExited(sandbox: Sandbox, exit: BoxExit, store: ContainerStore): Promise<void> {
  await Promise.all(
    store.listOf(sandbox.id).map(async (container) => {
      const { follower } = container;
      if (follower !== undefined) await drained(follower, brokenDrainLimitMs, store.log);
      await store.locks.run(container.id, () => store.recordExit(container, lostExit(exit.reason, exit.atNs)));
    }),
  );
}

export async function removeAllOf(sandbox: Sandbox, store: ContainerStore, signal: AbortSignal): Promise<void> {
  await store.creationsOf(sandbox.id);
  for (const container of store.listOf(sandbox.id)) {
    await store.locks.run(container.id, async () => {
      await stage("remove snapshot", longStepLimitMs, signal, (limit) =>
        store.parts.images.removeSnapshot(container.id, limit),
      );
      await store.remove(container.id);
    });
  }
}
