/** What a model says in one turn: words, or a program's call for a tool. */
export interface Turn {
  readonly text?: string;
  readonly tool?: { readonly name: string; readonly input: unknown };
}

const usage = {
  prompt_tokens: 11,
  completion_tokens: 7,
  total_tokens: 18,
  prompt_tokens_details: { cached_tokens: 4 },
  completion_tokens_details: { reasoning_tokens: 2 },
};

export function chatAnswer(model: string, { text = "", tool }: Turn): unknown {
  const calls = tool === undefined ? undefined : [callOf(tool)];
  return {
    ...{ id: "chatcmpl-1", object: "chat.completion", created: 1, model, usage },
    choices: [
      {
        index: 0,
        message: { role: "assistant", content: text, tool_calls: calls },
        finish_reason: calls === undefined ? "stop" : "tool_calls",
      },
    ],
  };
}

export function chatEvents(model: string, { text = "", tool }: Turn, withUsage: boolean): string[] {
  const base = { id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model };
  const event = (delta: unknown, reason: string | null): string =>
    line({ ...base, choices: [{ index: 0, delta, finish_reason: reason }] });
  return [
    event({ role: "assistant", content: "" }, null),
    ...text.split(/(?<= )/).map((content) => event({ content }, null)),
    ...(tool === undefined ? [] : [event({ tool_calls: [callOf(tool)] }, null)]),
    event({}, tool === undefined ? "stop" : "tool_calls"),
    ...(withUsage ? [line({ ...base, choices: [], usage })] : []),
    "data: [DONE]\n\n",
  ];
}

function callOf({ input, name }: NonNullable<Turn["tool"]>): unknown {
  return { index: 0, id: "call_1", type: "function", function: { name, arguments: JSON.stringify(input) } };
}

function line(event: unknown): string {
  return `data: ${JSON.stringify(event)}\n\n`;
}
