import type { ContainerStore } from "./container-store.js";
import type { Container } from "./container.js";
import { longStepLimitMs, stepLimitMs } from "./limits.js";
import { stage } from "../../base/stage.js";
import { stopRunning } from "./stop.js";

/** Forgets a container with all it owns; one that runs is killed first. Its log files stay: they are kubelet's. */
export async function removeContainerOf(
  container: Container,
  store: ContainerStore,
  signal: AbortSignal,
): Promise<void> {
  await stopRunning(container, 0, store, signal);
  await store.locks.run(container.id, signal, async () => {
    if (!store.has(container.id)) return;
    await releaseParts(container, store, signal);
    await store.remove(container.id);
  });
  store.log.info({ containerId: container.id, sandboxId: container.sandboxId }, "container removed");
}

/** The agent lets go first, then the share, then the snapshot. Each step is idempotent. */
async function releaseParts(container: Container, store: ContainerStore, signal: AbortSignal): Promise<void> {
  store.mirrors.forget(container.id);
  const box = store.parts.sandboxes.find(container.sandboxId)?.box;
  if (box !== undefined && box.exit === undefined) {
    await box.agent.deleteSession(container.id, signal);
    await stage("unmount what was followed", stepLimitMs, signal, () => store.laterMounts.release(container.id));
    for (const path of [...container.record.sharedPaths].reverse()) {
      await stage("unmount from share", stepLimitMs, signal, () => store.sources.release(box, container.id, path));
    }
  }
  await stage("remove snapshot", longStepLimitMs, signal, (limit) =>
    store.parts.images.removeSnapshot(container.id, limit),
  );
}
