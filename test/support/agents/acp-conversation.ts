/** What a client of ACP says and hears, whatever carries it: knows JSON-RPC, and nothing of us. */
import { eventually } from "../wait.js";

export type Message = Readonly<Record<string, unknown>>;

export interface AcpConversation {
  /** All that have come. */
  readonly messages: readonly Message[];
  send(method: string, params: unknown): number;
  notify(method: string, params: unknown): void;
  answer(id: unknown, result: unknown): void;
  /** Its answer. */
  result(id: number, limitMs?: number): Promise<unknown>;
  request(method: string, params: unknown, limitMs?: number): Promise<unknown>;
  /** Texts of the agent's message, put together. */
  text(): string;
}

/** `messages` grows as they come; `end` says how it has ended, for whoever waits in vain. */
export function acpConversation(
  put: (text: string) => void,
  messages: readonly Message[],
  end: () => unknown,
): AcpConversation {
  let next = 0;
  const say = (message: object): void => {
    put(JSON.stringify({ jsonrpc: "2.0", ...message }));
  };
  const conversation: AcpConversation = {
    messages,
    send: (method, params) => {
      say({ id: (next += 1), method, params });
      return next;
    },
    notify: (method, params) => {
      say({ method, params });
    },
    answer: (id, result) => {
      say({ id, result });
    },
    result: (id, limitMs = 20_000) =>
      eventually(`answer ${String(id)} (closed: ${String(end())})`, limitMs, () => {
        const answer = messages.find((one) => one["id"] === id && one["method"] === undefined);
        if (answer?.["error"] !== undefined) throw new Error(JSON.stringify(answer["error"]));
        return answer?.["result"];
      }),
    request: (method, params, limitMs) => conversation.result(conversation.send(method, params), limitMs),
    text: () => messages.map(textOf).join(""),
  };
  return conversation;
}

/** A message, where the text is one. */
export function messageIn(text: string): Message | undefined {
  const message: unknown = JSON.parse(text);
  return typeof message === "object" && message !== null ? { ...message } : undefined;
}

/** "" for what is no part of the agent's message. */
function textOf({ params }: Message): string {
  const update = member(params, "update");
  if (member(update, "sessionUpdate") !== "agent_message_chunk") return "";
  const text = member(member(update, "content"), "text");
  return typeof text === "string" ? text : "";
}

export function member(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  return new Map<string, unknown>(Object.entries(value)).get(name);
}
