/** What the configuration says of coding agents: which there are, and what is otherwise than their presets have it. */
import * as z from "zod";
import { RuntimeError } from "../base/errors.js";
import { setting } from "./setting.js";

export const agentKinds = ["opencode", "codex", "claude-code", "a3s_code", "custom"] as const;
/** Whose preset it has; custom: none, its command says all. */
export type AgentKind = (typeof agentKinds)[number];

/** One that sandboxes can have; absent is the preset's. */
export interface AgentConfig {
  readonly name: string;
  readonly kind: AgentKind;
  /** Program and arguments, which speak ACP by standard input and output. */
  readonly command?: readonly string[] | undefined;
  /** "MODEL", or "KIND/MODEL" with the kind of a provider. */
  readonly model?: string | undefined;
  /** Asks its client before it changes anything. The Box is what bounds it, so usually it does not. */
  readonly ask: boolean;
  readonly env: Readonly<Record<string, string>>;
  /** Where a3s_code has its releases from. */
  readonly mirror?: string | undefined;
}

const agentName = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$/;
const mostWords = 64;

const agentSchema = z.strictObject({
  kind: z.enum(agentKinds).optional(),
  command: z.array(z.string().max(4096)).min(1).max(mostWords).optional(),
  model: z.string().min(1).max(200).optional(),
  ask: z.boolean().default(false),
  env: z.record(z.string().regex(/^[^=\0]+$/), z.string()).default({}),
  mirror: z.url({ protocol: /^https?$/ }).optional(),
});
type GivenAgents = Readonly<Record<string, z.infer<typeof agentSchema>>>;

export const agentSettings = {
  agents: setting<GivenAgents>(
    z.record(z.string().regex(agentName), agentSchema),
    {},
    'tables named [agents.NAME], each with any of kind ("opencode", "codex", "claude-code", "a3s_code", "custom"; where it \
says none, NAME is one), command (a list: program and arguments), model, ask (true or false), env (a table) and mirror (a \
URL, of a3s_code)',
    "Coding agents that templates name. Each kind but custom is one without a table. Take this line away when writing one.",
  ),
};

/** Those of the tables, and each kind under its own name. */
export function agentsOf(given: GivenAgents): Readonly<Record<string, AgentConfig>> {
  const agents: Record<string, AgentConfig> = {};
  for (const kind of agentKinds) if (kind !== "custom") agents[kind] = { name: kind, kind, ask: false, env: {} };
  for (const [name, one] of Object.entries(given)) {
    const kind = one.kind ?? agentKinds.find((known) => known === name);
    if (kind === undefined) throw refused(name, "has no kind", `kind = one of ${agentKinds.join(", ")}`);
    if (kind === "custom" && one.command === undefined)
      throw refused(name, "has no command", "a custom agent is its command");
    if (one.mirror !== undefined && kind !== "a3s_code")
      throw refused(name, "has a mirror", "only a3s_code brings itself from one");
    agents[name] = { ...one, name, kind };
  }
  return agents;
}

function refused(name: string, what: string, hint: string): RuntimeError {
  return new RuntimeError("invalidArgument", `agents.${name} ${what}`, { hint });
}
