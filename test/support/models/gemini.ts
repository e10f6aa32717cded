import type { Turn } from "./openai-chat.js";

export function geminiAnswer({ text = "" }: Turn): unknown {
  return {
    candidates: [{ content: { role: "model", parts: [{ text }] }, finishReason: "STOP", index: 0 }],
    usageMetadata: {
      ...{ promptTokenCount: 13, candidatesTokenCount: 6, thoughtsTokenCount: 2, cachedContentTokenCount: 4 },
      totalTokenCount: 21,
    },
  };
}
