import type { Turn } from "./openai-chat.js";

const usage = {
  input_tokens: 21,
  input_tokens_details: { cached_tokens: 5 },
  output_tokens: 9,
  output_tokens_details: { reasoning_tokens: 3 },
  total_tokens: 30,
};

export function responsesAnswer(model: string, turn: Turn, status = "completed"): object {
  return {
    ...{ id: "resp_1", object: "response", created_at: 1, status, model, error: null, incomplete_details: null },
    ...{ instructions: null, metadata: {}, parallel_tool_calls: true, temperature: 1, tool_choice: "auto", tools: [] },
    ...{ top_p: 1, output: status === "completed" ? [itemOf(turn)] : [] },
    usage: status === "completed" ? usage : null,
  };
}

export function responsesEvents(model: string, turn: Turn): string[] {
  const { text = "" } = turn;
  const item = itemOf(turn);
  const where = { item_id: "item_1", output_index: 0, content_index: 0 };
  const texts =
    turn.tool === undefined
      ? [
          event("response.content_part.added", { ...where, part: { type: "output_text", text: "", annotations: [] } }),
          ...text
            .split(/(?<= )/)
            .map((delta) => event("response.output_text.delta", { ...where, delta, logprobs: [] })),
          event("response.output_text.done", { ...where, text, logprobs: [] }),
          event("response.content_part.done", { ...where, part: { type: "output_text", text, annotations: [] } }),
        ]
      : [];
  return [
    event("response.created", { response: responsesAnswer(model, turn, "in_progress") }),
    event("response.in_progress", { response: responsesAnswer(model, turn, "in_progress") }),
    event("response.output_item.added", { output_index: 0, item: { ...item, status: "in_progress" } }),
    ...texts,
    event("response.output_item.done", { output_index: 0, item }),
    event("response.completed", { response: responsesAnswer(model, turn) }),
  ];
}

function itemOf({ text = "", tool }: Turn): object {
  if (tool !== undefined) {
    const { input, name } = tool;
    return {
      ...{ id: "item_1", type: "function_call", status: "completed", call_id: "call_1", name },
      arguments: JSON.stringify(input),
    };
  }
  const content = [{ type: "output_text", text, annotations: [] }];
  return { id: "item_1", type: "message", status: "completed", role: "assistant", content };
}

let sequence = 0;

function event(type: string, members: object): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: sequence++, ...members })}\n\n`;
}
