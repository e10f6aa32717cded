/** The agents' edge as the daemon has it: the core and the port, loaded where they are wanted, beside the API within pods. */
import { join } from "node:path";
import { namesIn } from "../base/names-in.js";
import type { Config } from "../config/config.js";
import type { Deps } from "../runtime/deps.js";
import { agentSandboxRecords } from "../sandboxes/core/record.js";
import type { RuntimeApi } from "../sandboxes/in-pod/runtime-api.js";

export interface AgentsEdge {
  /** Nobody is taken any more; who is served may end within `graceMs`. */
  close(graceMs: number): Promise<void>;
  /** Resolves when no creation is under way. */
  idle(): Promise<void>;
  /** After that: sandboxes live on without the daemon. */
  leave(): Promise<void>;
}

/**
 * Off unless the configuration says where to listen. Sandboxes that were made before it was turned off are looked after all
 * the same: they end when their time is over.
 */
export async function openAgentsEdge(
  deps: Deps,
  api: RuntimeApi,
  health: () => string | undefined,
): Promise<AgentsEdge> {
  const { config } = deps;
  const isOn = config.sandboxPort.listen.length > 0;
  const isWanted = isOn || (await hasSandboxes(config));
  const core = isWanted ? await (await import("../sandboxes/core/open.js")).openSandboxes(deps) : undefined;
  try {
    const port =
      isOn && core !== undefined
        ? await (await import("./agents-port.js")).openAgentsPort(deps, core, health)
        : undefined;
    return {
      close: async (graceMs) => {
        await Promise.all([port?.close(graceMs), api.close(AbortSignal.timeout(graceMs))]);
      },
      idle: async () => await core?.idle(),
      leave: async () => await core?.close(),
    };
  } catch (thrown) {
    await core?.close();
    throw thrown;
  }
}

async function hasSandboxes({ root }: Config): Promise<boolean> {
  return (await namesIn(join(root, "records", agentSandboxRecords.name))).length > 0;
}
