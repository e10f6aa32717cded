import { chosenModel } from "./chosen-model.js";
import type { AgentBox, Preset } from "./preset.js";

/** Speaks ACP by an adapter. Its file is the machine's, which a user's own `~/.codex/config.toml` stands over. */
export const codex: Preset = {
  kind: "codex",
  command: ["codex-acp"],
  task: ["codex", "exec", "--skip-git-repo-check"],
  packages: ["npm:@openai/codex", "npm:@agentclientprotocol/codex-acp"],
  providers: ["openai"],
  skills: ["/etc/codex/skills"],
  environment: () => ({}),
  files: (box) => [{ path: "/etc/codex/config.toml", content: configOf(box) }],
};

/** The Box is its sandbox: its own would want what a guest has not. */
function configOf(box: AgentBox): string {
  const chosen = chosenModel(box, ["openai"]);
  const lines = [
    ...(chosen?.model === undefined ? [] : [`model = ${JSON.stringify(chosen.model)}`]),
    `approval_policy = "${box.ask ? "untrusted" : "never"}"`,
    'sandbox_mode = "danger-full-access"',
    "check_for_update_on_startup = false",
  ];
  if (chosen === undefined) return `${lines.join("\n")}\n`;
  const provider = [
    "[model_providers.box]",
    'name = "box"',
    `base_url = "${box.gateway}/${chosen.provider.name}/v1"`,
    'env_key = "OPENAI_API_KEY"',
    'wire_api = "responses"',
  ];
  return `${[...lines, 'model_provider = "box"', "", ...provider].join("\n")}\n`;
}
