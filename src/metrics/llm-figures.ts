/** Calls to models by the gateway. Names as OpenTelemetry has them for generative AI, in Prometheus' form. */
import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import { BoundedLabels } from "./bounded-labels.js";

const secondsBuckets = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const tokenBuckets = Array.from({ length: 14 }, (_, power) => 4 ** power);

/** One place for OpenTelemetry's names: they are in development, and a new one is a line here (docs/adr/0115). */
const names = {
  duration: "gen_ai_client_inference_duration_seconds",
  timeToFirstChunk: "gen_ai_client_inference_time_to_first_chunk_seconds",
  timePerOutputChunk: "gen_ai_client_inference_time_per_output_chunk_seconds",
  inputTokens: "gen_ai_client_inference_usage_input_tokens_total",
  outputTokens: "gen_ai_client_inference_usage_output_tokens_total",
  cacheReadTokens: "gen_ai_client_inference_usage_cache_read_input_tokens_total",
  cacheWriteTokens: "gen_ai_client_inference_usage_cache_write_input_tokens_total",
  reasoningTokens: "gen_ai_client_inference_usage_reasoning_output_tokens_total",
  inputTokensOfCall: "gen_ai_client_inference_operation_input_tokens",
  outputTokensOfCall: "gen_ai_client_inference_operation_output_tokens",
} as const;
const attributes = ["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "server_address"] as const;
const modality = "gen_ai_token_modality";
const errorType = "error_type";

export const llmRefusals = [
  ...["connections", "http", "host", "path", "token", "provider", "model", "body", "size", "slow"],
  ...["requests", "tokens", "concurrent", "memory", "key", "upstream", "closing"],
] as const;
/** Why the gateway itself has said no: nothing that a guest sends becomes a label. */
export type LlmRefusal = (typeof llmRefusals)[number];

/** What one call was. */
export interface LlmCall {
  readonly operation: string;
  readonly provider: string;
  /** As the upstream has accepted it; "": it has not, or there was none. */
  readonly model: string;
  readonly server: string;
  readonly seconds: number;
  /** Undefined: it went well. */
  readonly error: string | undefined;
  readonly usage: LlmUsage | undefined;
}

/** Input has what was read from a cache, and written to one, in it; output has the reasoning. */
export interface LlmUsage {
  readonly input: number;
  readonly output: number;
  readonly cacheRead: number;
  readonly cacheWrite: number;
  readonly reasoning: number;
}

/** Models beyond the configuration's that have labels of their own; the rest are "other". */
const mostModels = 64;
type Attribute = (typeof attributes)[number];
type Labels = Record<Attribute, string>;

export class LlmFigures {
  readonly #requests: Counter<"provider" | "code">;
  readonly #refused: Counter<"provider" | "reason">;
  readonly #inFlight: Gauge<"provider">;
  readonly #duration: Histogram<Attribute | typeof errorType>;
  readonly #firstChunk: Histogram<Attribute>;
  readonly #nextChunk: Histogram<Attribute>;
  readonly #tokens: Readonly<Record<keyof LlmUsage, Counter<Attribute | typeof modality>>>;
  readonly #tokensOfCall: Readonly<Record<"input" | "output", Histogram<Attribute>>>;
  readonly #models: BoundedLabels;

  /** `models`: those of the configuration, which are named however many others come. */
  constructor(register: Registry, models: readonly string[]) {
    const registers = [register];
    this.#models = new BoundedLabels(models.length + mostModels, ["", ...models]);
    const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]): Counter<L> =>
      new Counter({ name, help, labelNames, registers });
    const histogram = <L extends string>(
      name: string,
      help: string,
      labelNames: readonly L[],
      buckets = secondsBuckets,
    ): Histogram<L> => new Histogram({ name, help, labelNames, buckets, registers });
    this.#requests = counter("a3s_box_llm_requests_total", "Requests to models that ended, by provider and status.", [
      "provider",
      "code",
    ]);
    this.#refused = counter("a3s_box_llm_refused_total", "What the gateway itself refused, by the reason.", [
      "provider",
      "reason",
    ]);
    this.#inFlight = new Gauge({
      name: "a3s_box_llm_requests_in_flight",
      help: "Requests to models under way.",
      labelNames: ["provider"],
      registers,
    });
    this.#duration = histogram(names.duration, "How long requests to models took, whole.", [...attributes, errorType]);
    this.#firstChunk = histogram(names.timeToFirstChunk, "Streams: until the first of it came.", attributes);
    this.#nextChunk = histogram(names.timePerOutputChunk, "Streams: from one event to the next.", attributes);
    const tokens = [...attributes, modality] as const;
    this.#tokens = {
      input: counter(names.inputTokens, "Tokens that models read, those of caches among them.", tokens),
      output: counter(names.outputTokens, "Tokens that models wrote, reasoning among them.", tokens),
      cacheRead: counter(names.cacheReadTokens, "Of the tokens read, those from a cache.", tokens),
      cacheWrite: counter(names.cacheWriteTokens, "Of the tokens read, those put into a cache.", tokens),
      reasoning: counter(names.reasoningTokens, "Of the tokens written, those of reasoning.", tokens),
    };
    this.#tokensOfCall = {
      input: histogram(names.inputTokensOfCall, "Tokens that a call had read.", attributes, tokenBuckets),
      output: histogram(names.outputTokensOfCall, "Tokens that a call had written.", attributes, tokenBuckets),
    };
  }

  /** `provider`: a name of the configuration, or "none". What it returns is called once. */
  began(provider: string): (code: string) => void {
    this.#inFlight.inc({ provider });
    return (code) => {
      this.#inFlight.dec({ provider });
      this.#requests.inc({ provider, code });
    };
  }

  refused(provider: string, reason: LlmRefusal): void {
    this.#refused.inc({ provider, reason });
  }

  firstChunk(call: Pick<LlmCall, "operation" | "provider" | "model" | "server">, seconds: number): void {
    this.#firstChunk.observe(this.#labelsOf(call), seconds);
  }

  nextChunk(call: Pick<LlmCall, "operation" | "provider" | "model" | "server">, seconds: number): void {
    this.#nextChunk.observe(this.#labelsOf(call), seconds);
  }

  ended(call: LlmCall): void {
    const labels = this.#labelsOf(call);
    this.#duration.observe({ ...labels, [errorType]: call.error ?? "" }, call.seconds);
    if (call.usage === undefined) return;
    for (const kind of ["input", "output", "cacheRead", "cacheWrite", "reasoning"] as const) {
      this.#tokens[kind].inc({ ...labels, [modality]: "unknown" }, call.usage[kind]);
    }
    this.#tokensOfCall.input.observe(labels, call.usage.input);
    this.#tokensOfCall.output.observe(labels, call.usage.output);
  }

  #labelsOf({
    operation,
    provider,
    model,
    server,
  }: Pick<LlmCall, "operation" | "provider" | "model" | "server">): Labels {
    return {
      gen_ai_operation_name: operation,
      gen_ai_provider_name: provider,
      gen_ai_request_model: this.#models.of(model),
      server_address: server,
    };
  }
}
