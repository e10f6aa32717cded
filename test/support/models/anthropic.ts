import type { Turn } from "./openai-chat.js";

const base = { id: "msg_1", type: "message", role: "assistant", stop_sequence: null };
const input = { input_tokens: 10, cache_creation_input_tokens: 20, cache_read_input_tokens: 30 };

export function messagesAnswer(model: string, turn: Turn): unknown {
  const stop = turn.tool === undefined ? "end_turn" : "tool_use";
  return { ...base, model, content: [blockOf(turn)], stop_reason: stop, usage: { ...input, output_tokens: 8 } };
}

export function messagesEvents(model: string, turn: Turn): string[] {
  const { text = "", tool } = turn;
  const usage = { ...input, output_tokens: 1 };
  const deltas =
    tool === undefined
      ? text.split(/(?<= )/).map((part) => ({ type: "text_delta", text: part }))
      : [{ type: "input_json_delta", partial_json: JSON.stringify(tool.input) }];
  const empty = tool === undefined ? { type: "text", text: "" } : { ...blockOf(turn), input: {} };
  const stop = { stop_reason: tool === undefined ? "end_turn" : "tool_use", stop_sequence: null };
  return [
    event("message_start", { message: { ...base, model, content: [], stop_reason: null, usage } }),
    event("content_block_start", { index: 0, content_block: empty }),
    event("ping", {}),
    ...deltas.map((delta) => event("content_block_delta", { index: 0, delta })),
    event("content_block_stop", { index: 0 }),
    event("message_delta", { delta: stop, usage: { output_tokens: 8 } }),
    event("message_stop", {}),
  ];
}

function blockOf({ text = "", tool }: Turn): object {
  return tool === undefined ? { type: "text", text } : { type: "tool_use", id: "toolu_1", ...tool };
}

function event(type: string, members: object): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...members })}\n\n`;
}
