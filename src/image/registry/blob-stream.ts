/**
 * A blob's bytes as one stream, however often it breaks: what is missing is asked for by range, of the same host while
 * it makes progress, then of the next. Source: OCI distribution spec 1.1, "Pulling blobs"; RFC 9110, 14.
 */
import { codeOf, messageOf, RuntimeError } from "../../base/errors.js";
import { sleep } from "../../base/stage.js";
import type { Descriptor } from "../content/manifest.js";
import { answerFailure, isWebPage, webPageFailure } from "./answers.js";
import { isStall } from "./failure.js";
import type { HttpAnswer } from "./http.js";
import type { RegistrySession } from "./session.js";

export interface BlobStreamOptions {
  /** In the order in which they are asked; at least one. */
  readonly sessions: readonly RegistrySession[];
  readonly blob: Descriptor;
  /** First wait before a broken stream is taken up again; doubled for each further one without a byte. */
  readonly retryDelayMs: number;
  readonly signal: AbortSignal;
}

/** Breaks in a row without a byte in between. */
const maxIdleBreaks = 3;
/** Breaks in all: a host that gives a byte each time is no host. */
const maxBreaks = 100;

/** Whoever stores the bytes checks their digest. */
export class BlobStream {
  readonly #options: BlobStreamOptions;
  readonly #failures: unknown[] = [];
  #position = 0;
  #offset = 0;

  constructor(options: BlobStreamOptions) {
    this.#options = options;
  }

  /** The host that is being asked. */
  get host(): string {
    return this.#session()?.host ?? this.#options.sessions.at(-1)?.host ?? "";
  }

  async *bytes(): AsyncGenerator<Uint8Array> {
    let idleBreaks = 0;
    for (let breaks = 0; ; breaks += 1) {
      const before = this.#offset;
      const broken = yield* this.#untilBreak(await this.#open());
      if (broken === undefined) return;
      idleBreaks = this.#offset > before ? 0 : idleBreaks + 1;
      if (isStall(broken) || idleBreaks + 1 >= maxIdleBreaks || breaks + 1 >= maxBreaks) {
        this.#next(broken);
        idleBreaks = 0;
      }
      await sleep(this.#options.retryDelayMs * 2 ** idleBreaks, this.#options.signal);
    }
  }

  /** Gives what breaks the stream, or undefined at its end. */
  async *#untilBreak(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, RuntimeError | undefined> {
    const { blob, signal } = this.#options;
    try {
      for await (const chunk of body) {
        this.#offset += chunk.byteLength;
        if (this.#offset > blob.size) {
          throw new RuntimeError("internal", `${this.host} sends more than the ${blob.size} bytes announced`);
        }
        yield chunk;
      }
    } catch (thrown) {
      if (signal.aborted || !(thrown instanceof RuntimeError) || codeOf(thrown) !== "unavailable") throw thrown;
      return thrown;
    }
    if (this.#offset === blob.size) return undefined;
    return new RuntimeError("unavailable", `${this.host} ends after ${this.#offset} of ${blob.size} bytes`, {
      hint: "pull again; if it stays so, push the image again",
    });
  }

  /** The rest of the blob, from the first host that gives it. */
  async #open(): Promise<AsyncIterable<Uint8Array>> {
    for (;;) {
      const session = this.#session();
      if (session === undefined) throw this.#failure();
      const once = this.#position + 1 < this.#options.sessions.length;
      try {
        return await this.#ask(session, once);
      } catch (thrown) {
        if (this.#options.signal.aborted) throw thrown;
        this.#next(thrown);
      }
    }
  }

  async #ask(session: RegistrySession, once: boolean): Promise<AsyncIterable<Uint8Array>> {
    const { blob, signal } = this.#options;
    const from = this.#offset === 0 ? {} : { from: this.#offset };
    const question = { path: `blobs/${blob.digest}`, accept: ["*/*"], once };
    const answer = await session.ask({ ...question, ...from }, signal);
    if (answer.status === 206 && this.#offset > 0 && isRange(answer, this.#offset, blob.size)) return answer.body;
    if (answer.status === 206 || answer.status === 416) {
      // Another part than was asked for, or none: the whole, then.
      await answer.discard();
      return await this.#whole(await session.ask(question, signal));
    }
    return await this.#whole(answer);
  }

  /** From the beginning, without what has come already. */
  async #whole(answer: HttpAnswer): Promise<AsyncIterable<Uint8Array>> {
    const { blob } = this.#options;
    const { host } = answer.url;
    if (answer.status !== 200) {
      throw await answerFailure(
        answer,
        () =>
          new RuntimeError("unavailable", `${host} has no blob ${blob.digest}, which its manifest names`, {
            hint: "the image is incomplete in its registry; push it again",
          }),
      );
    }
    if (isWebPage(answer)) throw await webPageFailure(answer);
    const length = answer.header("content-length");
    if (length !== "" && length !== String(blob.size)) {
      await answer.discard();
      throw new RuntimeError("internal", `${host} announces ${length} bytes for ${blob.digest}, not ${blob.size}`, {
        hint: "the registry's content is damaged; push the image again",
      });
    }
    return this.#offset === 0 ? answer.body : after(this.#offset, answer.body);
  }

  #session(): RegistrySession | undefined {
    return this.#options.sessions[this.#position];
  }

  #next(failure: unknown): void {
    this.#failures.push(failure);
    this.#position += 1;
    if (this.#session() === undefined) throw this.#failure();
  }

  #failure(): unknown {
    return allFailed(this.#failures);
  }
}

/** Of several hosts' failures the last is the registry's own; what else the mirrors said comes after it, each once. */
export function allFailed(failures: readonly unknown[]): unknown {
  const last = failures.at(-1);
  if (failures.length === 1 || !(last instanceof RuntimeError)) return last;
  const others = new Set(failures.map(messageOf));
  others.delete(last.message);
  if (others.size === 0) return last;
  return new RuntimeError(last.code, `${last.message}; before that: ${[...others].join("; ")}`, { cause: last });
}

/** Source: RFC 9110, 14.4, Content-Range. */
function isRange(answer: HttpAnswer, from: number, size: number): boolean {
  const [, first, last, total] = /^bytes ([0-9]+)-([0-9]+)\/([0-9]+|\*)$/.exec(answer.header("content-range")) ?? [];
  return first === String(from) && last === String(size - 1) && (total === String(size) || total === "*");
}

async function* after(skipBytes: number, body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let left = skipBytes;
  for await (const chunk of body) {
    const skipped = Math.min(left, chunk.byteLength);
    left -= skipped;
    if (skipped < chunk.byteLength) yield chunk.subarray(skipped);
  }
}
