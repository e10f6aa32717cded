/** The pod of a sandbox, as the engine knows it. */
import type { Deps } from "../../runtime/deps.js";
import { removeSandbox } from "../../runtime/pod/end.js";
import type { Pod } from "../../runtime/pod/pod.js";
import { sandboxKey } from "../../runtime/pod/pod-store.js";
import type { AgentSandboxRecord } from "./record.js";

/** Also of one that is being made: its pod may be there before its record says so. */
export function podOf({ id, tenant }: Pick<AgentSandboxRecord, "id" | "tenant">, engine: Deps): Pod | undefined {
  return engine.sandboxes.findByKey(sandboxKey({ namespace: tenant, name: id, uid: id, attempt: 0 }));
}

/** With its container. Success when it is not there. */
export async function removePod(pod: Pod | undefined, engine: Deps, signal: AbortSignal): Promise<void> {
  if (pod === undefined) return;
  await engine.sandboxes.locks.run(pod.id, signal, async () => {
    if (engine.sandboxes.has(pod.id)) await removeSandbox(pod, engine, signal);
  });
}
