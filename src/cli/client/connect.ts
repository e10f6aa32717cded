/** The agents' edge as the commands see it: calls as promises and iterables, errors as ours. gRPC stays in this file. */
import {
  Client,
  credentials,
  Metadata,
  status,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientWritableStream,
  type MethodDefinition,
  type ServiceError,
} from "@grpc/grpc-js";
import { RuntimeError } from "../../base/errors.js";
import { fromStatusCode } from "../../grpc/status.js";
import { nobodyThere, type Endpoint } from "./endpoint.js";

const longestMessageBytes = 8 * 1024 * 1024;
const connectMs = 5_000;

export class Edge implements Disposable {
  readonly #client: Client;
  readonly #endpoint: Endpoint;
  readonly #metadata: Metadata;

  private constructor(client: Client, endpoint: Endpoint) {
    this.#client = client;
    this.#endpoint = endpoint;
    this.#metadata = new Metadata();
    if (endpoint.token !== undefined) this.#metadata.set("authorization", `Bearer ${endpoint.token}`);
  }

  /** Fails at once, with what to do, where nobody serves. */
  static async connect(endpoint: Endpoint): Promise<Edge> {
    const client = new Client(endpoint.grpcTarget, credentials.createInsecure(), {
      "grpc.max_receive_message_length": longestMessageBytes,
      "grpc.default_authority": "localhost",
    });
    await new Promise<void>((resolve, reject) => {
      client.waitForReady(Date.now() + connectMs, (error) => {
        if (error === undefined) resolve();
        else reject(nobodyThere(endpoint, error));
      });
    }).catch((thrown: unknown) => {
      client.close();
      throw thrown;
    });
    return new Edge(client, endpoint);
  }

  async call<Request, Answer>(method: MethodDefinition<Request, Answer>, request: Request): Promise<Answer> {
    const { path, requestSerialize, responseDeserialize } = method;
    return await new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        ...([path, requestSerialize, responseDeserialize, request, this.#metadata] as const),
        (error: ServiceError | null, answer?: Answer) => {
          if (answer !== undefined && error === null) resolve(answer);
          else reject(this.#explained(error));
        },
      );
    });
  }

  /** Leaving the loop cancels the call. */
  async *events<Request, Answer>(
    method: MethodDefinition<Request, Answer>,
    request: Request,
    signal?: AbortSignal,
  ): AsyncGenerator<Answer, void> {
    const { path, requestSerialize, responseDeserialize } = method;
    const stream: ClientReadableStream<Answer> = this.#client.makeServerStreamRequest(
      ...([path, requestSerialize, responseDeserialize, request, this.#metadata] as const),
    );
    const cancel = (): void => {
      stream.cancel();
    };
    signal?.addEventListener("abort", cancel);
    try {
      for await (const answer of stream as AsyncIterable<Answer>) yield answer;
    } catch (thrown) {
      if (signal?.aborted === true) return;
      throw this.#explained(thrown);
    } finally {
      signal?.removeEventListener("abort", cancel);
      stream.cancel();
    }
  }

  /** Sends all parts, at the other side's speed, and answers what is answered. */
  async send<Part, Answer>(
    method: MethodDefinition<Part, Answer>,
    parts: AsyncIterable<Part> | Iterable<Part>,
  ): Promise<Answer> {
    const { path, requestSerialize, responseDeserialize } = method;
    let stream: ClientWritableStream<Part> | undefined;
    const answered = new Promise<Answer>((resolve, reject) => {
      stream = this.#client.makeClientStreamRequest(
        ...([path, requestSerialize, responseDeserialize, this.#metadata] as const),
        (error: ServiceError | null, answer?: Answer) => {
          if (answer !== undefined && error === null) resolve(answer);
          else reject(this.#explained(error));
        },
      );
    });
    answered.catch(() => undefined); // it is seen below
    try {
      for await (const part of untilAnswered(parts, answered)) {
        if (stream?.writable !== true) break;
        await written(stream, part, answered);
      }
    } catch (thrown) {
      stream?.cancel();
      throw thrown;
    }
    stream?.end();
    return await answered;
  }

  both<Part, Answer>(method: MethodDefinition<Part, Answer>): ClientDuplexStream<Part, Answer> {
    const { path, requestSerialize, responseDeserialize } = method;
    return this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, this.#metadata);
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }

  #explained(thrown: unknown): RuntimeError {
    if (!isServiceError(thrown)) return new RuntimeError("internal", String(thrown), { cause: thrown });
    if (thrown.code === status.UNAVAILABLE && thrown.details.includes("ECONNREFUSED")) {
      return nobodyThere(this.#endpoint, thrown);
    }
    return new RuntimeError(fromStatusCode(thrown.code), thrown.details, { cause: thrown });
  }
}

/** Who waits for the next part learns of an answer, or a failure, that comes before it. */
async function* untilAnswered<Part>(
  parts: AsyncIterable<Part> | Iterable<Part>,
  answered: Promise<unknown>,
): AsyncGenerator<Part, void> {
  const iterator = Symbol.asyncIterator in parts ? parts[Symbol.asyncIterator]() : parts[Symbol.iterator]();
  const over = answered.then(
    () => undefined,
    () => undefined,
  );
  for (;;) {
    const next = await Promise.race([iterator.next(), over]);
    if (next === undefined || next.done === true) return;
    yield next.value;
  }
}

async function written<Part>(
  stream: ClientWritableStream<Part>,
  part: Part,
  answered: Promise<unknown>,
): Promise<void> {
  if (stream.write(part)) return;
  const drained = new Promise<void>((resolve) => {
    stream.once("drain", resolve);
  });
  await Promise.race([drained, answered.catch(() => undefined)]);
}

function isServiceError(thrown: unknown): thrown is ServiceError {
  return thrown instanceof Error && "code" in thrown && "details" in thrown && typeof thrown.details === "string";
}
