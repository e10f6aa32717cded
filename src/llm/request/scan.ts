/** What a request's body says of the model, found while it comes. */
import { fits } from "../../base/patterns.js";
import type { LlmConfig } from "../../config/llm.js";
import { JsonPicker, type Wanted } from "../json-picker.js";
import { Refusal } from "../refusal.js";

/** Members at the top by which some providers choose another model. */
const otherChoices = ["models", "fallbacks", "fallback_models", "fallback_model"];
const wanted: Wanted = {
  anyCase: true,
  members: new Map<string, Wanted>([
    ["model", { as: "model" }],
    ["stream", { as: "stream" }],
    ...otherChoices.map((name): [string, Wanted] => [name, { as: "other" }]),
  ]),
};
const longestModel = 200;

export class RequestScan {
  readonly #picker: JsonPicker;
  readonly #models: (string | undefined)[] = [];
  #hasOther = false;
  #isUnclear = false;

  constructor() {
    this.#picker = new JsonPicker(wanted, (as, value, name) => {
      if (as === "other") this.#hasOther = true;
      if (as !== "model") return;
      this.#isUnclear ||= name !== "model";
      this.#models.push(typeof value === "string" ? value : undefined);
    });
  }

  write(chunk: Uint8Array): void {
    this.#picker.write(chunk);
  }

  /** The model's name, "" where there is none. Throws a `Refusal` for what another reader could take for another model. */
  end(): string {
    if (!this.#picker.end()) throw new Refusal("body", 400, "the body is not JSON in UTF-8");
    const [model, ...more] = this.#models;
    if (more.length > 0 || this.#isUnclear) throw new Refusal("body", 400, "the body names a model more than once");
    if (this.#models.length > 0 && (model === undefined || model.length > longestModel)) {
      throw new Refusal("body", 400, "model in the body is no name");
    }
    return model ?? "";
  }

  /** The body has members by which a provider may choose another model than the one that it names. */
  get hasOtherChoices(): boolean {
    return this.#hasOther;
  }
}

/** Where all are allowed, one that nobody names is too. */
export function checkModel(
  model: string,
  hasOtherChoices: boolean,
  { models, name }: Pick<LlmConfig, "models" | "name">,
): void {
  if (models.length === 0) return;
  if (hasOtherChoices) {
    throw new Refusal("model", 403, `${name} allows some models alone: one is to be named, without others beside it`);
  }
  if (models.some((pattern) => fits(pattern, model)) && model !== "") return;
  const shown = model === "" ? "without a name" : JSON.stringify(model);
  throw new Refusal("model", 403, `model ${shown} is not allowed with ${name}`);
}
