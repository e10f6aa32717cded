import { rm } from "node:fs/promises";
import { join } from "node:path";
import { namesIn } from "../../../base/names-in.js";
import type { Container } from "../../../runtime/container/container.js";
import type { Deps } from "../../../runtime/deps.js";
import { detachedExecsOf } from "../../../runtime/exec/detached-execs.js";
import type { SandboxName } from "../sandbox.js";
import type { ProcessStore } from "./process-store.js";
import { SandboxProcesses } from "./sandbox-processes.js";

export type ProcessDeps = Pick<Deps, "sandboxes" | "images" | "log" | "config">;

/**
 * The processes of a sandbox whose container this is: of a new one, or of one that was there before the daemon (`takeUp` is
 * to follow then). Reads records alone.
 */
export async function openProcesses(
  sandbox: SandboxName,
  container: Container,
  deps: ProcessDeps,
): Promise<ProcessStore> {
  const log = deps.log.child({ sandbox, containerId: container.id });
  return await SandboxProcesses.open(join(directoryOf(deps), sandbox), detachedExecsOf(container, deps), log);
}

/** Removes what there is of sandboxes that nobody knows any more, at the daemon's start. */
export async function removeStrayProcesses(known: ReadonlySet<string>, deps: ProcessDeps): Promise<void> {
  for (const name of await namesIn(directoryOf(deps))) {
    if (!known.has(name)) await rm(join(directoryOf(deps), name), { recursive: true, force: true });
  }
}

/** Beside `sandboxes`, where earlier daemons had pods' files and recovery removes what is no pod's. */
function directoryOf({ config }: ProcessDeps): string {
  return join(config.root, "processes");
}
