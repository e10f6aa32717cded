/** What may be asked of each kind of provider: these paths, and no others. */
import type { LlmKind } from "../../config/llm.js";

export interface Route {
  readonly method: "GET" | "POST";
  /** Of the path below the provider's name; a group named `model` is the model. */
  readonly path: RegExp;
  /** As OpenTelemetry calls it; "": counts as no call to a model. */
  readonly operation: string;
  /** A model is named in the body. */
  readonly hasModelInBody: boolean;
}

const model = "(?<model>[A-Za-z0-9][A-Za-z0-9._:@-]{0,199})";

function get(path: string): Route {
  return { method: "GET", path: new RegExp(`^${path}$`), operation: "", hasModelInBody: false };
}

function post(path: string, operation: string, hasModelInBody = true): Route {
  return { method: "POST", path: new RegExp(`^${path}$`), operation, hasModelInBody };
}

/** A path of OpenAI's has the version that its clients' base URL has: the upstream has its own. */
export const routes: Readonly<Record<LlmKind, readonly Route[]>> = {
  anthropic: [
    post("/v1/messages", "chat"),
    post("/v1/messages/count_tokens", ""),
    get("/v1/models"),
    get(`/v1/models/${model}`),
  ],
  openai: [
    post("/v1/responses", "chat"),
    post("/v1/chat/completions", "chat"),
    post("/v1/completions", "text_completion"),
    post("/v1/embeddings", "embeddings"),
    get("/v1/models"),
    get(`/v1/models/${model}`),
  ],
  gemini: [
    post(`/v1(?:beta)?/models/${model}:(?:generateContent|streamGenerateContent)`, "generate_content", false),
    post(`/v1(?:beta)?/models/${model}:(?:embedContent|batchEmbedContents)`, "embeddings", false),
    post(`/v1(?:beta)?/models/${model}:countTokens`, "", false),
    get("/v1(?:beta)?/models"),
    get(`/v1(?:beta)?/models/${model}`),
  ],
};
