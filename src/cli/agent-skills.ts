/** Skills of containers, before pods are made or taken up. */
import { AgentSkills } from "../agents/skills/agent-skills.js";
import type { Deps } from "../runtime/deps.js";

export async function openAgentSkills({ closing, config, log, native, sandboxes, skills }: Deps): Promise<void> {
  const parts = { closing, config, native, pods: sandboxes, log: log.child({ part: "skills" }) };
  skills.register(await AgentSkills.open(parts));
}
