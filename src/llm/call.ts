/** One request of a Box to a model: judged, sent, and given back as it comes. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { monotonicMs } from "../base/clock.js";
import type { LlmFigures, LlmUsage } from "../metrics/llm-figures.js";
import { headerOf, headersBack } from "./answer/headers.js";
import { scrubbed } from "./answer/scrub.js";
import { sendBack } from "./answer/send-back.js";
import { UsageMeter } from "./answer/usage.js";
import type { LlmBox } from "./box.js";
import type { ByteBudget } from "./limits/byte-budget.js";
import type { Provider } from "./provider.js";
import { errorText, Refusal } from "./refusal.js";
import { readBody, type BodyLimits, type HeldBody } from "./request/body.js";
import { headersOnward } from "./request/headers.js";
import { checkModel, RequestScan } from "./request/scan.js";
import type { Target } from "./request/target.js";
import { failureOf, type UpstreamAnswer } from "./upstream/upstream.js";

export interface CallParts {
  readonly figures: LlmFigures;
  readonly budget: ByteBudget;
  readonly body: Omit<BodyLimits, "maxBytes">;
  readonly stallMs: number;
}

/** What is told of it in the log: no content. */
export interface CallFacts {
  readonly operation: string;
  model: string;
  status: number;
  requestBytes: number;
  answerBytes: number;
  firstMs: number | undefined;
  usage: LlmUsage | undefined;
  /** The whole answer went on. */
  isWhole: boolean;
  events: number;
}

/** Bytes that a token has, about: for limits alone, where an answer does not say what it was. */
const bytesPerToken = 4;

export class Call {
  readonly facts: CallFacts;
  readonly #provider: Provider;
  readonly #target: Target;
  readonly #parts: CallParts;
  readonly #begunMs = monotonicMs();

  constructor(provider: Provider, target: Target, parts: CallParts) {
    this.#provider = provider;
    this.#target = target;
    this.#parts = parts;
    this.facts = {
      ...{ operation: target.route.operation, model: target.model, status: 0, requestBytes: 0, answerBytes: 0 },
      ...{ firstMs: undefined, usage: undefined, isWhole: false, events: 0 },
    };
  }

  /** Throws a `Refusal` where nothing was sent, and what a broken connection throws. */
  async run(message: IncomingMessage, response: ServerResponse, box: LlmBox, signal: AbortSignal): Promise<void> {
    const body = await this.#judgedBody(message, box);
    let sent: { readonly answer: UpstreamAnswer; readonly key: string | undefined };
    try {
      sent = await this.#send(message, body, signal);
    } finally {
      body?.release();
    }
    await this.#giveBack(sent.answer, sent.key, response);
  }

  /** What it has cost, for limits. */
  get tokens(): number {
    const { answerBytes, events, isWhole, operation, requestBytes, status, usage } = this.facts;
    if (operation === "" || status < 200 || status > 299) return 0;
    const said = (usage?.input ?? 0) + (usage?.output ?? 0);
    if (isWhole && said > 0) return said;
    // One that was broken off before it said so has been paid for all the same.
    const written = events > 0 ? events : answerBytes / bytesPerToken;
    return Math.max(said, Math.ceil(requestBytes / bytesPerToken + written));
  }

  async #judgedBody(message: IncomingMessage, { id }: LlmBox): Promise<HeldBody | undefined> {
    const { config } = this.#provider;
    const { route, model } = this.#target;
    const isAsked = route.method === "GET";
    const limits = { ...this.#parts.body, maxBytes: isAsked ? 0 : config.maxBodyBytes };
    const scan = new RequestScan();
    const body = await readBody(message, limits, this.#parts.budget, id, (chunk) => {
      scan.write(chunk);
    });
    try {
      this.facts.requestBytes = body.bytes.length;
      if (isAsked) return undefined;
      const inBody = scan.end();
      this.facts.model = route.hasModelInBody ? inBody : model;
      checkModel(this.facts.model, route.hasModelInBody && scan.hasOtherChoices, config);
      return body;
    } catch (thrown) {
      body.release();
      throw thrown;
    }
  }

  async #send(message: IncomingMessage, body: HeldBody | undefined, signal: AbortSignal) {
    const { config, key, upstream } = this.#provider;
    const { path, route } = this.#target;
    const request = { method: route.method, path, headers: headersOnward(message), body: body?.bytes };
    const sendWith = async (value: string | undefined): Promise<UpstreamAnswer> => {
      try {
        return await upstream.send({ ...request, key: value }, signal);
      } catch (thrown) {
        if (signal.aborted) throw thrown;
        const { detail, status, words } = failureOf(thrown);
        throw new Refusal("upstream", status, `${config.name} ${words}`, { detail });
      }
    };
    const value = key.isWanted ? await key.value() : undefined;
    if (key.isWanted && value === undefined) throw new Refusal("key", 503, `there is no key for ${config.name} now`);
    const answer = await sendWith(value);
    if (answer.status !== 401 || value === undefined) return { answer, key: value };
    const newer = await key.value(true);
    if (newer === undefined || newer === value) return { answer, key: value };
    answer.drop();
    return { answer: await sendWith(newer), key: newer };
  }

  async #giveBack(answer: UpstreamAnswer, key: string | undefined, response: ServerResponse): Promise<void> {
    const { config } = this.#provider;
    const { facts } = this;
    facts.status = answer.status;
    if (answer.status >= 300 && answer.status < 400) {
      answer.drop();
      throw new Refusal("upstream", 502, `${config.name} is somewhere else now; its upstream is to be set anew`);
    }
    if (answer.status === 401 && key !== undefined) {
      // What it says of a key may show some of it.
      answer.drop();
      this.#answerItself(response, 401, `${config.name} refuses the key that this gateway has for it`);
      return;
    }
    const isStream = /^text\/event-stream\b/i.test(headerOf(answer.headers, "content-type"));
    const meter = new UsageMeter(config.kind, isStream, this.#eventClock(isStream));
    const back = headersBack(answer.headers);
    response.writeHead(answer.status, key === undefined ? back : back.map((text) => scrubbed(text, key)));
    if (isStream) response.flushHeaders();
    await sendBack(answer.body, response, key, { stallMs: this.#parts.stallMs }, (chunk) => {
      facts.firstMs ??= monotonicMs() - this.#begunMs;
      facts.answerBytes += chunk.length;
      meter.write(chunk);
      facts.usage = meter.usage();
    });
    facts.isWhole = true;
    response.end();
  }

  #answerItself(response: ServerResponse, status: number, words: string): void {
    const text = errorText(status, words);
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
    response.writeHead(status, headers).end(text);
    this.facts.isWhole = true;
  }

  /** Of a stream, the time from each event to the next. */
  #eventClock(isStream: boolean): () => void {
    const { figures } = this.#parts;
    let lastMs: number | undefined;
    return () => {
      this.facts.events += 1;
      if (!isStream || this.facts.operation === "") return;
      const nowMs = monotonicMs();
      const call = this.labels;
      if (lastMs === undefined) figures.firstChunk(call, (nowMs - this.#begunMs) / 1000);
      else figures.nextChunk(call, (nowMs - lastMs) / 1000);
      lastMs = nowMs;
    };
  }

  /** A model that no upstream has accepted is a guest's word, and no label. */
  get labels() {
    const { model, operation, status } = this.facts;
    return {
      operation,
      provider: this.#provider.wellKnownName,
      model: status >= 200 && status < 300 ? model : "",
      server: this.#provider.upstream.server,
    };
  }

  get ms(): number {
    return monotonicMs() - this.#begunMs;
  }
}
