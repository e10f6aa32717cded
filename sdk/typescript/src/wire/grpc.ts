/** Calls by gRPC. The library is known in this file and in `wire.ts` alone. */
import {
  Client,
  Metadata,
  status,
  type ChannelCredentials,
  type ClientReadableStream,
  type ClientWritableStream,
  type MethodDefinition,
  type ServiceError,
} from "@grpc/grpc-js";
import { reasonOf } from "../deadline.js";
import { WireError, type Conversation, type Wire } from "./wire.js";

const mib = 1024 * 1024;

export interface GrpcOptions {
  /** gRPC's name of the place: "unix:/path", "127.0.0.1:4088". */
  readonly target: string;
  /** What the server is called, where the target doesn't say it. */
  readonly authority: string | undefined;
  readonly credentials: ChannelCredentials;
  /** As it is now: a token's file may change. */
  readonly token: () => Promise<string | undefined>;
}

export class GrpcWire implements Wire {
  readonly streams = true;
  readonly #client: Client;
  readonly #token: GrpcOptions["token"];
  #isClosed = false;

  constructor({ target, authority, credentials, token }: GrpcOptions) {
    this.#token = token;
    this.#client = new Client(target, credentials, {
      "grpc.max_receive_message_length": 16 * mib,
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.min_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 1000,
      // Whoever waits for a program that prints nothing learns of a machine that has gone.
      "grpc.keepalive_time_ms": 30_000,
      "grpc.keepalive_timeout_ms": 20_000,
      "grpc.enable_http_proxy": 0,
      ...(authority === undefined ? {} : { "grpc.default_authority": authority }),
    });
  }

  async ready(signal: AbortSignal): Promise<void> {
    const stepMs = 250;
    let last: Error | undefined;
    for (;;) {
      if (signal.aborted) throw last ?? reasonOf(signal);
      last = await new Promise<Error | undefined>((resolve) => {
        this.#client.waitForReady(Date.now() + stepMs, resolve);
      });
      if (last === undefined) return;
      if (this.#isClosed) throw last;
    }
  }

  async unary<Q, A>(method: MethodDefinition<Q, A>, request: Q, signal: AbortSignal): Promise<A> {
    const { path, requestSerialize, responseDeserialize } = method;
    const metadata = await this.#metadata();
    signal.throwIfAborted();
    return await new Promise<A>((resolve, reject) => {
      const call = this.#client.makeUnaryRequest(
        ...([path, requestSerialize, responseDeserialize, request, metadata] as const),
        (error: ServiceError | null, answer?: A) => {
          signal.removeEventListener("abort", cancel);
          if (answer !== undefined && error === null) resolve(answer);
          else reject(wireError(error));
        },
      );
      const cancel = (): void => {
        reject(reasonOf(signal));
        call.cancel();
      };
      signal.addEventListener("abort", cancel, { once: true });
    });
  }

  async *stream<Q, A>(method: MethodDefinition<Q, A>, request: Q, signal: AbortSignal): AsyncGenerator<A, void> {
    const { path, requestSerialize, responseDeserialize } = method;
    const metadata = await this.#metadata();
    signal.throwIfAborted();
    const call: ClientReadableStream<A> = this.#client.makeServerStreamRequest(
      ...([path, requestSerialize, responseDeserialize, request, metadata] as const),
    );
    const cancel = (): void => {
      call.cancel();
    };
    signal.addEventListener("abort", cancel, { once: true });
    try {
      for await (const answer of call as AsyncIterable<A>) yield answer;
    } catch (thrown) {
      throw signal.aborted ? reasonOf(signal) : wireError(thrown);
    } finally {
      signal.removeEventListener("abort", cancel);
      call.cancel();
    }
  }

  async upload<Q, A>(method: MethodDefinition<Q, A>, parts: AsyncIterable<Q>, signal: AbortSignal): Promise<A> {
    const { path, requestSerialize, responseDeserialize } = method;
    const metadata = await this.#metadata();
    signal.throwIfAborted();
    const answered = new Answered<A>();
    const call = this.#client.makeClientStreamRequest(
      ...([path, requestSerialize, responseDeserialize, metadata] as const),
      (error: ServiceError | null, answer?: A) => {
        if (answer !== undefined && error === null) answered.resolve(answer);
        else answered.reject(signal.aborted ? reasonOf(signal) : wireError(error));
      },
    );
    const cancel = (): void => {
      answered.reject(reasonOf(signal));
      call.cancel();
    };
    signal.addEventListener("abort", cancel, { once: true });
    try {
      await sendAll(call, parts, answered.over);
      call.end();
      return await answered.promise;
    } catch (thrown) {
      call.cancel();
      throw thrown;
    } finally {
      signal.removeEventListener("abort", cancel);
    }
  }

  async converse<Q, A>(method: MethodDefinition<Q, A>): Promise<Conversation<Q, A>> {
    const { path, requestSerialize, responseDeserialize } = method;
    const metadata = await this.#metadata();
    const call = this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
    return {
      write: (part) => call.write(part),
      end: () => {
        call.end();
      },
      cancel: () => {
        call.cancel();
      },
      onDrain: (listener) => {
        call.once("drain", listener);
      },
      onOver: (listener) => {
        call.once("status", listener);
      },
      answers: explained(call),
    };
  }

  close(): void {
    this.#isClosed = true;
    this.#client.close();
  }

  async #metadata(): Promise<Metadata> {
    const metadata = new Metadata();
    const token = await this.#token();
    if (token !== undefined) metadata.set("authorization", `Bearer ${token}`);
    return metadata;
  }
}

/** An answer that may come before all is sent. */
class Answered<A> {
  resolve: (answer: A) => void = () => undefined;
  reject: (thrown: Error) => void = () => undefined;
  readonly promise = new Promise<A>((resolve, reject) => {
    this.resolve = resolve;
    this.reject = reject;
  });
  /** Settles with it, and never rejects. */
  readonly over: Promise<undefined> = this.promise.then(
    () => undefined,
    () => undefined,
  );
}

async function sendAll<Q>(
  call: ClientWritableStream<Q>,
  parts: AsyncIterable<Q>,
  over: Promise<undefined>,
): Promise<void> {
  const iterator = parts[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await Promise.race([iterator.next(), over]);
      if (next === undefined || next.done === true) return;
      if (call.write(next.value)) continue;
      const drained = new Promise<void>((resolve) => call.once("drain", resolve));
      await Promise.race([drained, over]);
    }
  } finally {
    // One that waits for more of its own source can't be asked to end: nobody waits for it.
    iterator.return?.().catch(() => undefined);
  }
}

async function* explained<A>(answers: AsyncIterable<A>): AsyncGenerator<A, void> {
  try {
    yield* answers;
  } catch (thrown) {
    throw wireError(thrown);
  }
}

function wireError(thrown: unknown): WireError {
  if (!isServiceError(thrown)) return new WireError(status.INTERNAL, String(thrown), false, thrown);
  const neverSent = thrown.code === status.UNAVAILABLE && thrown.details.startsWith("No connection established");
  return new WireError(thrown.code, thrown.details, neverSent, thrown);
}

function isServiceError(thrown: unknown): thrown is ServiceError {
  return thrown instanceof Error && "code" in thrown && "details" in thrown && typeof thrown.details === "string";
}
