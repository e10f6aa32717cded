/** What containers of pods have for coding agents, before pods are made or taken up: the agent's own configuration, and skills. */
import { join } from "node:path";
import { agentOfPod, type KnownAgents } from "../agents/presets/pod-agent.js";
import { AgentFiles, withAgent } from "../agents/presets/with-agent.js";
import { AgentSkills } from "../agents/skills/agent-skills.js";
import type { Config } from "../config/config.js";
import { gatewayPort } from "../llm/environment.js";
import type { Deps } from "../runtime/deps.js";

/** Below the state directory. */
const agentFiles = "agents";

export async function openAgentSkills({ closing, config, log, native, sandboxes, skills }: Deps): Promise<void> {
  const parts = { closing, config, native, pods: sandboxes, log: log.child({ part: "skills" }) };
  const ofAgents = await AgentSkills.open(parts);
  const known = knownAgents(config);
  const files = new AgentFiles(join(config.state, agentFiles));
  skills.register({
    extend: async (pod, spec, signal) => {
      const agent = agentOfPod(pod.spec, known);
      // The agent first: its variable says of skills what theirs alone would.
      const own = agent === undefined ? spec : await withAgent(spec, agent, files);
      return await ofAgents.extend(pod, own, signal);
    },
    takeUp: ofAgents.takeUp.bind(ofAgents),
    list: ofAgents.list.bind(ofAgents),
  });
}

export function knownAgents({ llm, sandboxes: { agents } }: Pick<Config, "llm" | "sandboxes">): KnownAgents {
  return { agents, llm, gateway: `http://127.0.0.1:${String(gatewayPort)}` };
}
