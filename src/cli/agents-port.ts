/** The port of the agents' edge: the core, and the protocols over it. Loaded where one is configured. */
import type { Deps } from "../runtime/deps.js";
import type { OpenSandboxes } from "../sandboxes/core/open.js";
import { e2b } from "../sandboxes/e2b/e2b.js";
import { envdPort } from "../sandboxes/e2b/options.js";
import { openSandboxPort, type SandboxPort } from "../sandboxes/listen/open-port.js";
import { podsOfRuntime } from "../sandboxes/listen/who/pods-of-node.js";
import { mcpProtocol } from "../sandboxes/mcp/mcp-protocol.js";
import { sandboxdProtocols } from "../sandboxes/sandboxd/sandboxd.js";

/** Where clients of E2B in debug mode look for a code interpreter. */
const interpreterPort = 49_999;

export async function openAgentsPort(
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
