import { fits } from "../../base/patterns.js";
import { llmKinds, type LlmKind } from "../../config/llm.js";
import type { AgentBox, Provider } from "./preset.js";

/** The provider and the model that an agent begins with. */
export interface ChosenModel {
  readonly provider: Provider;
  /** Undefined: the agent chooses one. */
  readonly model: string | undefined;
}

/** Undefined where the Box has no provider that the agent can talk to. */
export function chosenModel({ providers, model }: AgentBox, kinds: readonly LlmKind[]): ChosenModel | undefined {
  const usable = kinds.flatMap((kind) => providers.find((one) => one.kind === kind) ?? []);
  const [kind, name] = parted(model);
  const ofKind = kind === undefined ? usable : usable.filter((one) => one.kind === kind);
  const [first] = ofKind;
  if (first === undefined) return undefined;
  if (name === undefined) return { provider: first, model: literalOf(ofKind.find(hasLiteral) ?? first) };
  return { provider: ofKind.find((one) => takes(one, name)) ?? first, model: name };
}

/** "openai/gpt-5" is of a kind; "meta/llama" is a model's whole name. */
function parted(model: string | undefined): [LlmKind | undefined, string | undefined] {
  const slash = model?.indexOf("/") ?? -1;
  const kind = slash < 0 ? undefined : llmKinds.find((known) => known === model?.slice(0, slash));
  return kind === undefined ? [undefined, model] : [kind, model?.slice(slash + 1)];
}

function takes({ models }: Provider, name: string): boolean {
  return models.length === 0 || models.some((pattern) => fits(pattern, name));
}

function hasLiteral(provider: Provider): boolean {
  return literalOf(provider) !== undefined;
}

function literalOf({ models }: Provider): string | undefined {
  return models.find((pattern) => !pattern.includes("*"));
}
