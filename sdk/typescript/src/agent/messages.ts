/** What is said with a coding agent, as far as this package looks into it: the rest goes to whoever asked as it came. */
import type { RequestOpts } from "../options.js";

/** A message about what the agent does: text, a thought, a tool's call, a plan. What a kind has is ACP's `SessionUpdate`. */
export interface AgentUpdate {
  /** "agent_message_chunk", "agent_thought_chunk", "tool_call", "tool_call_update", "plan" … */
  readonly sessionUpdate: string;
  readonly [member: string]: unknown;
}

export interface PermissionOption {
  readonly optionId: string;
  readonly name: string;
  /** "allow_once", "allow_always", "reject_once", "reject_always". */
  readonly kind: string;
}

/** The agent asks before it does something. */
export interface PermissionQuestion {
  readonly options: readonly PermissionOption[];
  /** What it wants to do, as ACP has it. */
  readonly toolCall: Readonly<Record<string, unknown>>;
}

export interface PromptOpts extends Pick<RequestOpts, "signal"> {
  readonly onUpdate?: (update: AgentUpdate) => void | Promise<void>;
  /** Of its answer alone, as it comes. */
  readonly onText?: (text: string) => void | Promise<void>;
  /** How long the turn may take, in milliseconds; 0: as long as it takes, which is usual. It is cancelled then. */
  readonly timeoutMs?: number;
}

export interface PromptResult {
  /** "end_turn", "max_tokens", "max_turn_requests", "refusal", "cancelled". */
  readonly stopReason: string;
  /** All of its answer. */
  readonly text: string;
}

export function updateOf(params: unknown): AgentUpdate | undefined {
  const update = member(params, "update");
  const kind = member(update, "sessionUpdate");
  if (typeof update !== "object" || update === null || typeof kind !== "string") return undefined;
  return { ...update, sessionUpdate: kind };
}

/** "" for what is no part of its answer. */
export function textOf(update: AgentUpdate): string {
  if (update.sessionUpdate !== "agent_message_chunk") return "";
  const text = member(update["content"], "text");
  return typeof text === "string" ? text : "";
}

export function questionOf(params: unknown): PermissionQuestion {
  const options: unknown = member(params, "options");
  const toolCall: unknown = member(params, "toolCall");
  return {
    options: Array.isArray(options) ? options.flatMap(optionOf) : [],
    toolCall: typeof toolCall === "object" && toolCall !== null ? { ...toolCall } : {},
  };
}

function optionOf(option: unknown): PermissionOption[] {
  const [optionId, name, kind] = ["optionId", "name", "kind"].map((key) => member(option, key));
  if (typeof optionId !== "string") return [];
  return [{ optionId, name: typeof name === "string" ? name : optionId, kind: typeof kind === "string" ? kind : "" }];
}

export function member(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  return new Map<string, unknown>(Object.entries(value)).get(name);
}
