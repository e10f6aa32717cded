/** The table of presets. Others that make pods of them (the operator, the chart) read this and write nothing of their own. */
import { RuntimeError } from "../../base/errors.js";
import type { AgentConfig, AgentKind } from "../../config/agents.js";
import { chosenModel } from "./chosen-model.js";
import { codex } from "./codex.js";
import { opencode } from "./opencode.js";
import type { AgentBox, AgentFile, Preset } from "./preset.js";

/** Finds the gateway by variables that every Box with an Anthropic provider has. */
const claudeCode: Preset = {
  kind: "claude-code",
  command: ["claude-agent-acp"],
  task: ["claude", "-p"],
  packages: ["npm:@anthropic-ai/claude-code", "npm:@agentclientprotocol/claude-agent-acp"],
  providers: ["anthropic"],
  skills: ["/etc/claude-code/.claude/skills"],
  environment: (box) => {
    const model = chosenModel(box, ["anthropic"])?.model;
    return {
      DISABLE_AUTOUPDATER: "1",
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
      ...(model === undefined ? {} : { ANTHROPIC_MODEL: model }),
    };
  },
  files: () => [],
};

/** Brings its native part from its releases when it is first used, or from a mirror of them. It speaks no ACP. */
const a3sCode: Preset = {
  kind: "a3s_code",
  command: [],
  task: ["a3s", "code", "exec"],
  packages: ["pypi:a3s-code"],
  providers: ["anthropic", "openai"],
  skills: [],
  environment: ({ mirror }) => (mirror === undefined ? {} : { A3S_CODE_RELEASES_BASE_URL: mirror }),
  files: () => [],
};

const custom: Preset = {
  kind: "custom",
  ...{ command: [], task: [], packages: [], skills: [] },
  providers: ["anthropic", "openai", "gemini"],
  environment: () => ({}),
  files: () => [],
};

export const presets: Readonly<Record<AgentKind, Preset>> = {
  opencode,
  codex,
  "claude-code": claudeCode,
  a3s_code: a3sCode,
  custom,
};

/** Every place where a coding agent looks for skills, whoever's HOME that is. */
export const placesOfSkills: readonly string[] = Object.values(presets).flatMap(({ skills }) => skills);

/** An agent as one Box has it. */
export interface PlannedAgent {
  readonly name: string;
  readonly kind: AgentKind;
  /** Speaks ACP; empty: it can't. */
  readonly command: readonly string[];
  /** Of all programs of the Box, under what its template and its client say. */
  readonly environment: Readonly<Record<string, string>>;
  readonly files: readonly AgentFile[];
}

export function planAgent(
  { name, kind, command, env, model, ask, mirror }: AgentConfig,
  box: Omit<AgentBox, "model" | "ask" | "mirror">,
): PlannedAgent {
  const preset = presets[kind];
  const known: AgentBox = { ...box, model, ask, mirror };
  return {
    name,
    kind,
    command: command ?? preset.command,
    environment: { ...preset.environment(known), ...env },
    files: preset.files(known),
  };
}

/** Throws `failedPrecondition` for one that can't be talked to. */
export function acpCommand({ name, command }: Pick<PlannedAgent, "name" | "command">): readonly string[] {
  if (command.length > 0) return command;
  throw new RuntimeError("failedPrecondition", `agent ${name} speaks no ACP`, {
    hint: `command in [agents.${name}] names a program that does`,
  });
}
