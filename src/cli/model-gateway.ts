/** The gateway to models as pods have it: at a port of their loopback that the host serves, for those that were given a provider. */
import { randomBytes } from "node:crypto";
import { agentOfPod } from "../agents/presets/pod-agent.js";
import { RuntimeError } from "../base/errors.js";
import { fits } from "../base/patterns.js";
import { proxyFromEnvironment } from "../base/proxy.js";
import type { Config, HandlerConfig } from "../config/config.js";
import { checkGranted, llmAnnotation, namesIn } from "../config/llm-grants.js";
import type { LlmBox } from "../llm/box.js";
import { environmentOf, gatewayPort } from "../llm/environment.js";
import { BoxTokens } from "../llm/tokens.js";
import type { Deps } from "../runtime/deps.js";
import type { PodSpec } from "../runtime/pod/pod-spec.js";
import type { Pod } from "../runtime/pod/pod.js";
import type { ServedPort } from "../runtime/served-ports/served-by-host.js";
import { knownAgents } from "./agent-skills.js";

/** Over what a Box may ask at a time: clients keep connections for what they ask next. */
const mostConnections = 128;
/** The name of the service in pods' records. */
const service = "llm";

/**
 * Registers the service, also where no provider is configured: pods that ask for one are refused then. The gateway itself is
 * loaded where a pod may have it, or has it since an earlier daemon.
 */
export async function openModelGateway(deps: Deps): Promise<{ close(stop: AbortSignal): Promise<void> }> {
  const { config, log, metrics, servedPorts, sandboxes } = deps;
  const { llm, root } = config;
  if (llm.length === 0 && !sandboxes.anyServedBy(service)) {
    servedPorts.register({ name: service, portsFor: (spec, handler) => portsFor(spec, handler, config) });
    return { close: () => Promise.resolve() };
  }
  const { LlmGateway } = await import("../llm/gateway.js");
  // Without a provider no pod has a token.
  const tokens = llm.length > 0 ? await BoxTokens.open(root) : new BoxTokens(randomBytes(32));
  const gateway = new LlmGateway({
    ...{ providers: llm, tokens, figures: metrics.llm, log: log.child({ part: "llm" }) },
    proxies: proxyFromEnvironment(process.env),
  });
  servedPorts.register({
    name: service,
    portsFor: (spec, handler) => portsFor(spec, handler, config),
    environmentOf: (pod) => environmentOf(boxOf(pod), llm, tokens),
    open: (pod) => ({
      connected: (stream) => {
        gateway.take(stream, boxOf(pod));
      },
      ended: () => undefined,
    }),
  });
  return gateway;
}

/** Throws why the pod may not have what its annotation asks for. */
function portsFor(
  spec: PodSpec,
  handler: HandlerConfig,
  config: Pick<Config, "llm" | "sandboxes">,
): readonly ServedPort[] {
  const { annotations, madeFor, namespace } = spec;
  agentOfPod(spec, knownAgents(config)); // whether there is such a one
  const names = namesIn(annotations[llmAnnotation] ?? "");
  if (names.length === 0) return [];
  checkGranted(names, namespace, config.llm);
  // A sandbox of the agents' edge has its providers from its template, or from a caller who is known.
  const refused = madeFor === undefined && names.find((name) => !handler.llm.some((pattern) => fits(pattern, name)));
  if (typeof refused === "string") {
    throw new RuntimeError(
      "invalidArgument",
      `annotation ${llmAnnotation}: ${refused} is not allowed by the pod's handler`,
      {
        hint: `llm = ["${refused}"] in the handler's table of the configuration allows it`,
      },
    );
  }
  return [{ port: gatewayPort, address: "loopback", mostConnections }];
}

function boxOf({ id, spec }: Pick<Pod, "id" | "spec">): LlmBox {
  return { id, tenant: spec.namespace, providers: namesIn(spec.annotations[llmAnnotation] ?? "") };
}
