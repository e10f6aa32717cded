import { messageOf } from "../../base/errors.js";
import { stage } from "../../base/stage.js";
import { sandboxKey } from "../../runtime/pod/pod-store.js";
import type { Core } from "./core.js";
import type { Lives } from "./lives.js";
import { removePod } from "./pod-of.js";

const removeLimitMs = 120_000;

/**
 * Takes up the sandboxes of an earlier daemon. Resolves when they may be asked for; nothing of it waits for a Box.
 */
export async function takeUp(core: Core): Promise<void> {
  const { engine, insides, log, records } = core;
  const there = records.all().filter(({ ready, end }) => ready !== undefined && end === undefined);
  await insides.removeStrayProcesses(new Set(there.map(({ id }) => id)));
  for (const { id, ready } of there) {
    const container = ready === undefined ? undefined : engine.containers.find(ready.containerId);
    if (container === undefined) continue; // lost, and seen to be so
    try {
      await insides.takeUp(id, container);
    } catch (thrown) {
      log.error({ sandbox: id, err: messageOf(thrown) }, "what is kept of a sandbox can't be read");
    }
  }
}

/**
 * Time goes on for them. What was half made or was to end goes, and so does a pod of ours that no record names, with its log.
 * The engine's own recovery has begun, and whoever wants a pod waits for it.
 */
export async function goOn(core: Core, lives: Lives): Promise<void> {
  for (const record of core.records.all()) {
    if (record.end !== undefined) lives.endSoon(record.id, record.end.reason);
    else if (record.ready === undefined) lives.endSoon(record.id, "unfinished");
    else lives.watch(record);
  }
  await removeStrays(core);
  await removeStrayLogs(core);
}

/** Only what is made for agents: a label anybody can write, a pod's spec says it by itself. */
async function removeStrays(core: Core): Promise<void> {
  const { engine, log, records } = core;
  const known = new Set(
    records.all().map(({ id, tenant }) => sandboxKey({ namespace: tenant, name: id, uid: id, attempt: 0 })),
  );
  for (const pod of engine.sandboxes.list()) {
    if (pod.spec.madeFor !== "agents" || known.has(sandboxKey(pod.spec))) continue;
    log.warn({ sandboxId: pod.id, name: pod.spec.name }, "pod of a sandbox without a record removed");
    try {
      await stage("remove stray pod", removeLimitMs, engine.closing, async (signal) => {
        await pod.whenSettled(signal);
        await removePod(pod, engine, signal);
      });
    } catch (thrown) {
      log.error({ sandboxId: pod.id, err: messageOf(thrown) }, "pod of a sandbox could not be removed");
    }
  }
}

async function removeStrayLogs({ insides, log, records }: Core): Promise<void> {
  try {
    await insides.removeStrayLogs(new Set(records.all().map(({ id }) => id)));
  } catch (thrown) {
    log.error({ err: messageOf(thrown) }, "logs of sandboxes that nobody knows could not be removed");
  }
}
