/** What programs of a Box have in their environment to find the gateway. */
import type { LlmConfig, LlmKind } from "../config/llm.js";
import type { LlmBox } from "./box.js";
import type { BoxTokens } from "./tokens.js";

/** In every Box that was given a provider, on its loopback. */
export const gatewayPort = 4089;

/** As the clients of each kind look for them: where, and what opens it. */
const variables: Readonly<Record<LlmKind, { readonly url: string; readonly path: string; readonly key: string }>> = {
  anthropic: { url: "ANTHROPIC_BASE_URL", path: "", key: "ANTHROPIC_API_KEY" },
  openai: { url: "OPENAI_BASE_URL", path: "/v1", key: "OPENAI_API_KEY" },
  gemini: { url: "GOOGLE_GEMINI_BASE_URL", path: "", key: "GEMINI_API_KEY" },
};

/** Of several providers of a kind the first one's. Whoever sets a variable himself has his own instead. */
export function environmentOf(
  { id, providers }: LlmBox,
  configs: readonly Pick<LlmConfig, "name" | "kind">[],
  tokens: BoxTokens,
): Readonly<Record<string, string>> {
  const environment: Record<string, string> = {};
  for (const name of providers) {
    const kind = configs.find((config) => config.name === name)?.kind;
    if (kind === undefined) continue;
    const { key, path, url } = variables[kind];
    environment[url] ??= `http://127.0.0.1:${String(gatewayPort)}/${name}${path}`;
    environment[key] ??= tokens.of(id);
  }
  return environment;
}
