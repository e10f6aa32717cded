/** Taking up containers after a daemon restart, sandbox by sandbox. */
import { basename } from "node:path";
import { nowNs } from "../../base/clock.js";
import { messageOf } from "../../base/errors.js";
import { neverAborted } from "../../base/signals.js";
import { SessionState, type Session } from "../../gen/agent/v1/agent.js";
import type { Box } from "../../vmm/box.js";
import { volumeAt } from "../../vmm/share/layout.js";
import { eachStray } from "../each-stray.js";
import { keptExecPrefix } from "../exec/exec-spec.js";
import { LogFile } from "../logs/log-file.js";
import { mostLogBytes } from "../logs/most-log-bytes.js";
import type { Pod } from "../pod/pod.js";
import type { ContainerStore } from "./container-store.js";
import type { Container } from "./container.js";
import { plausibleNs, follow, lostExit } from "./follow.js";
import { boxExited } from "./of-sandbox.js";
import { submountPrefix } from "../volumes/submounts.js";

export async function recoverEndOf(sandbox: Pod, store: ContainerStore): Promise<void> {
  const end = sandbox.record.end ?? { atNs: nowNs(), reason: "its box was gone when the daemon started" };
  await boxExited(sandbox, end, store);
}

export async function takeUpOf(
  sandbox: Pod,
  sessions: readonly Session[],
  store: ContainerStore,
  signal: AbortSignal,
): Promise<void> {
  const { box } = sandbox;
  if (box === undefined) return;
  for (const container of store.listOf(sandbox.id)) {
    const session = sessions.find(({ sessionId }) => sessionId === container.id);
    await store.locks.run(container.id, signal, () => takeUp(container, session, box, store));
  }
  const unknown = sessions.filter(({ sessionId }) => !store.knows(sessionId));
  void forgetExecs(sandbox, box, sessions, store);
  for (const { sessionId } of unknown) {
    store.log.warn({ containerId: sessionId, sandboxId: sandbox.id }, "session without a record deleted");
    await box.agent.deleteSession(sessionId, signal);
  }
  await removeUnowned(sandbox, box, store);
  await store.together.oomScores.settle(box).catch((thrown: unknown) => {
    store.log.warn({ sandboxId: sandbox.id, err: messageOf(thrown) }, "the pod's OOM score can't be set");
  });
  await store.together.cpuSets.takeUp(box).catch((thrown: unknown) => {
    store.log.warn({ sandboxId: sandbox.id, err: messageOf(thrown) }, "the pod's CPUs can't be set");
  });
}

/** Whoever waited for these has gone with the daemon before; but those that are on record somewhere stay. Nothing waits for their end: a guest may take its time. */
async function forgetExecs(sandbox: Pod, box: Box, sessions: readonly Session[], store: ContainerStore): Promise<void> {
  const never = new AbortController().signal; // the call has a limit, and ends with the Box
  for (const { sessionId, execIds } of sessions) {
    for (const execId of execIds.filter((id) => !id.startsWith(keptExecPrefix))) {
      await box.agent.forgetExec(sessionId, execId, never).catch((thrown: unknown) => {
        store.log.debug(
          { sandboxId: sandbox.id, err: messageOf(thrown) },
          "exec of an earlier daemon is not forgotten",
        );
      });
    }
  }
}

/** What a creation had put into the share when its daemon died. */
async function removeUnowned(sandbox: Pod, box: Box, store: ContainerStore): Promise<void> {
  const records = store.listOf(sandbox.id).map(({ record }) => record);
  const owned = new Set(records.flatMap(({ sharedPaths }) => sharedPaths));
  const followed = records.flatMap((record) => record.followed.map(({ place }) => submountPrefix(place)));
  for (const path of await box.listShared()) {
    if (owned.has(path) || followed.some((prefix) => basename(path).startsWith(prefix))) continue;
    store.log.warn({ sandboxId: sandbox.id, path }, "entry of the share without a container removed");
    await box.removeShared(path);
  }
}

async function takeUp(
  container: Container,
  session: Session | undefined,
  box: Box,
  store: ContainerStore,
): Promise<void> {
  const { record, state } = container;
  if (container.follower !== undefined) return; // by an earlier try
  if (state === "exited" || record.startFailure !== undefined) return;
  if (session === undefined) {
    await store.recordExit(container, lostExit("the agent does not know it any more", nowNs()));
    return;
  }
  await watchMirrors(container, box, store);
  for (const { place, source } of record.followed) {
    store.laterMounts.takeUp(box, container.id, { place: volumeAt(place), source });
  }
  if (state === "created") {
    if (session.state === SessionState.CREATED) return;
    // Started, but the daemon died before it could write that down.
    await store.update(container, { startedAtNs: plausibleNs(session.startedAtNs, record.createdAtNs) });
  }
  const file = await reopenLog(container, store);
  follow(container, box, file, (await file?.lastStamp()) ?? 0n, store);
}

/** What has changed while there was no daemon is seen at once. */
async function watchMirrors(container: Container, box: Box, store: ContainerStore): Promise<void> {
  for (const hostPath of container.record.mirroredPaths) {
    await store.mirrors.watch(box, container.id, volumeAt(hostPath), true);
  }
}

/** A log that can't be opened does not cost the container: its output is drained. */
async function reopenLog(container: Container, store: ContainerStore): Promise<LogFile | undefined> {
  const { logPath } = container.record;
  if (logPath === "") return undefined;
  try {
    const { spec } = store.parts.sandboxes.require(container.sandboxId);
    return await LogFile.open(logPath, store.log, neverAborted, mostLogBytes(spec));
  } catch (thrown) {
    store.log.error({ containerId: container.id, err: messageOf(thrown) }, "log can't be opened; output is dropped");
    return undefined;
  }
}

/** Records whose sandbox has none, and snapshots that no container owns. */
export async function discardStrays(store: ContainerStore, signal: AbortSignal): Promise<void> {
  const { images, sandboxes } = store.parts;
  const lost = store.list().filter(({ sandboxId }) => !sandboxes.has(sandboxId));
  await eachStray(
    lost.map(({ id }) => id),
    signal,
    store.log,
    async (id, limit) => {
      store.log.warn({ containerId: id }, "container without a sandbox discarded");
      await images.removeSnapshot(id, limit);
      await store.locks.run(id, limit, () => store.remove(id));
    },
  );
  await eachStray(await images.listSnapshots(), signal, store.log, async (key, limit) => {
    if (!store.knows(key)) await images.removeSnapshot(key, limit);
  });
}
