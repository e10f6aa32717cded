/** The agents' edge as the daemon has it: the core, the protocols over it, and the port that they are on. */
import { join } from "node:path";
import { namesIn } from "../base/names-in.js";
import type { Config } from "../config/config.js";
import type { Deps } from "../runtime/deps.js";
import { openSandboxes, type OpenSandboxes } from "../sandboxes/core/open.js";
import { agentSandboxRecords } from "../sandboxes/core/record.js";
import { e2b } from "../sandboxes/e2b/e2b.js";
import { envdPort } from "../sandboxes/e2b/options.js";
import { openSandboxPort, type SandboxPort } from "../sandboxes/listen/open-port.js";
import { podsOfRuntime } from "../sandboxes/listen/who/pods-of-node.js";
import { openRuntimeApi } from "../sandboxes/in-pod/runtime-api.js";
import { mcpProtocol } from "../sandboxes/mcp/mcp-protocol.js";
import { sandboxdProtocols } from "../sandboxes/sandboxd/sandboxd.js";

/** Where clients of E2B in debug mode look for a code interpreter. */
const interpreterPort = 49_999;

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
export async function openAgentsEdge(deps: Deps, health: () => string | undefined): Promise<AgentsEdge> {
  const { config } = deps;
  const api = await openRuntimeApi(deps, health);
  const isOn = config.sandboxPort.listen.length > 0;
  const core = isOn || (await hasSandboxes(config)) ? await openSandboxes(deps) : undefined;
  try {
    const port = isOn && core !== undefined ? await openPort(deps, core, health) : undefined;
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

async function openPort(
  deps: Deps,
  { sandboxes }: OpenSandboxes,
  health: () => string | undefined,
): Promise<Pick<SandboxPort, "close">> {
  const { config, log, metrics, native, sandboxes: pods } = deps;
  const { defaultTemplate: template, domain, templates } = config.sandboxes;
  const stopping = new AbortController();
  const ofE2b = e2b({
    ...{ sandboxes, log, templates: Object.keys(templates) },
    ...(domain === "" ? {} : { domain }),
    ...(template === "" ? {} : { debugSandbox: { template, ports: [envdPort, interpreterPort] } }),
  });
  const ofSandboxd = sandboxdProtocols({ sandboxes, log, stopping: stopping.signal });
  const port = await openSandboxPort({
    ...{ config: config.sandboxPort, log, native, health, figures: metrics.port },
    pods: podsOfRuntime(pods, config.sandboxPort.kubelet),
    protocolsHttp: [...ofE2b.protocols, mcpProtocol(sandboxes, log), ...ofSandboxd.http],
    protocolsGrpc: ofSandboxd.grpc,
  });
  return {
    close: async (graceMs) => {
      stopping.abort();
      await port.close(graceMs);
      ofE2b.close();
    },
  };
}

async function hasSandboxes({ root }: Config): Promise<boolean> {
  return (await namesIn(join(root, "records", agentSandboxRecords.name))).length > 0;
}
