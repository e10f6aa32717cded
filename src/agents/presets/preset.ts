/** What a preset of a coding agent is: plain data, and functions of what its Box has. Nothing here runs anything. */
import type { AgentKind } from "../../config/agents.js";
import type { LlmKind } from "../../config/llm.js";

/** A provider that the Box was given, as the configuration has it. */
export interface Provider {
  readonly name: string;
  readonly kind: LlmKind;
  /** Patterns; empty: all. */
  readonly models: readonly string[];
}

/** What a Box has for its agent. */
export interface AgentBox {
  /** In their order: variables lead to the first of each kind. */
  readonly providers: readonly Provider[];
  /** Where the gateway is for programs in the Box: "http://127.0.0.1:4089". */
  readonly gateway: string;
  /** "MODEL" or "KIND/MODEL"; absent: the first that a provider names, else the agent's own. */
  readonly model?: string | undefined;
  /** Asks its client before it changes anything. */
  readonly ask: boolean;
  /** Directory of skills; absent: none. */
  readonly skills?: string | undefined;
  readonly mirror?: string | undefined;
}

/** A file that is there before the agent is: absolute, root's, 0644. Whoever works in the Box may change it. */
export interface AgentFile {
  readonly path: string;
  readonly content: string;
}

export interface Preset {
  readonly kind: AgentKind;
  /** Program and arguments that speak ACP by standard input and output; empty: it has none. */
  readonly command: readonly string[];
  /** What runs one task to its end; the task is one more argument. For people, and for pods. */
  readonly task: readonly string[];
  /** What brings it into an image. */
  readonly packages: readonly string[];
  /** Kinds of providers that it can talk to, the one that it likes best first. */
  readonly providers: readonly LlmKind[];
  /** Where it looks for skills whoever's HOME that is; empty: where its environment or its file says. */
  readonly skills: readonly string[];
  environment(box: AgentBox): Readonly<Record<string, string>>;
  files(box: AgentBox): readonly AgentFile[];
}

/** Where all skills of a container are. */
export const skillsDirectory = "/skills";
