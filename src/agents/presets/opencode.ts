import type { LlmKind } from "../../config/llm.js";
import { chosenModel } from "./chosen-model.js";
import type { AgentBox, Preset } from "./preset.js";

/** opencode's own name of a provider, and how it finds the gateway by variables that the Box has anyway. */
const providers: Readonly<Record<LlmKind, { readonly id: string; readonly url: string; readonly key: string }>> = {
  anthropic: { id: "anthropic", url: "{env:ANTHROPIC_BASE_URL}/v1", key: "{env:ANTHROPIC_API_KEY}" },
  openai: { id: "openai", url: "{env:OPENAI_BASE_URL}", key: "{env:OPENAI_API_KEY}" },
  gemini: { id: "google", url: "{env:GOOGLE_GEMINI_BASE_URL}/v1beta", key: "{env:GEMINI_API_KEY}" },
};
const kinds: readonly LlmKind[] = ["anthropic", "openai", "gemini"];

/** Speaks ACP itself. All that it has to know is in one variable, over whatever its HOME says. */
export const opencode: Preset = {
  kind: "opencode",
  command: ["opencode", "acp"],
  task: ["opencode", "run"],
  packages: ["npm:opencode-ai"],
  providers: kinds,
  skills: [],
  environment: (box) => ({
    OPENCODE_CONFIG_CONTENT: JSON.stringify(configOf(box)),
    // Both would wait for a network that may not be there.
    OPENCODE_DISABLE_MODELS_FETCH: "1",
    OPENCODE_DISABLE_LSP_DOWNLOAD: "1",
  }),
  files: () => [],
};

function configOf(box: AgentBox): object {
  const chosen = chosenModel(box, kinds);
  const given = kinds.filter((kind) => box.providers.some((one) => one.kind === kind));
  const name = chosen?.model === undefined ? undefined : `${providers[chosen.provider.kind].id}/${chosen.model}`;
  return {
    ...{ autoupdate: false, share: "disabled" },
    permission: box.ask ? { edit: "ask", bash: "ask" } : "allow",
    ...(name === undefined ? {} : { model: name, small_model: name }),
    ...(box.skills === undefined ? {} : { skills: { paths: [box.skills] } }),
    provider: Object.fromEntries(
      given.map((kind) => {
        const { id, key, url } = providers[kind];
        const model = chosen?.provider.kind === kind ? chosen.model : undefined;
        // A model that its own list does not have is one all the same.
        const models = model === undefined ? {} : { models: { [model]: {} } };
        return [id, { options: { baseURL: url, apiKey: key }, ...models }];
      }),
    ),
  };
}

/** For an opencode that somebody else has configured: where skills are, and no more. */
export function skillsVariable(directory: string): Readonly<Record<string, string>> {
  return { OPENCODE_CONFIG_CONTENT: JSON.stringify({ skills: { paths: [directory] } }) };
}
