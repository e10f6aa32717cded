/** The coding agent of a pod of kubelet, by an annotation: configured for the models that the pod has, as a sandbox's is for its own. */
import { RuntimeError } from "../../base/errors.js";
import type { AgentConfig } from "../../config/agents.js";
import { llmAnnotation, namesIn } from "../../config/llm-grants.js";
import type { PodSpec } from "../../runtime/pod/pod-spec.js";
import { skillsDirectory, type Provider } from "./preset.js";
import { planAgent, type PlannedAgent } from "./presets.js";

/** Of a pod: a name of [agents]. */
export const agentAnnotation = "a3s.dev/agent";
const longestName = 64;

export interface KnownAgents {
  readonly agents: Readonly<Record<string, AgentConfig>>;
  /** Models' providers that there are. */
  readonly llm: readonly Provider[];
  /** Where they are for programs in a Box. */
  readonly gateway: string;
}

type Asking = Pick<PodSpec, "annotations" | "madeFor">;

/** Undefined: it asks for none. Throws `invalidArgument` for one that there is not, and where it would have no model. */
export function agentOfPod({ annotations, madeFor }: Asking, known: KnownAgents): PlannedAgent | undefined {
  const name = annotations[agentAnnotation]?.trim() ?? "";
  // A sandbox of the agents' edge has its agent from its template, or from its caller.
  if (name === "" || madeFor !== undefined) return undefined;
  const config = Object.hasOwn(known.agents, name) ? known.agents[name] : undefined;
  if (config === undefined) {
    const shown = JSON.stringify(name.slice(0, longestName));
    throw refused(`${shown} is not known`, `agents: ${Object.keys(known.agents).join(", ")}`);
  }
  const names = namesIn(annotations[llmAnnotation] ?? "");
  if (names.length === 0) throw refused(`${name} would have no model`, `${llmAnnotation} names the pod's providers`);
  const providers = names.flatMap((one) => known.llm.find((provider) => provider.name === one) ?? []);
  // Skills are there or are not: by another annotation, or by a mount of the pod's own.
  return planAgent(config, { providers, gateway: known.gateway, skills: skillsDirectory });
}

function refused(what: string, hint: string): RuntimeError {
  return new RuntimeError("invalidArgument", `annotation ${agentAnnotation}: ${what}`, { hint });
}
