/** A CRI client as kubelet is one: gRPC over the Unix socket, authority `localhost`, 16 MiB messages, a deadline per call. */
import { Client, credentials, Metadata, status, type ClientReadableStream, type ServiceError } from "@grpc/grpc-js";
import { ImageServiceService, RuntimeServiceService } from "../../src/gen/runtime/v1/api.js";
import { limit } from "./wait.js";

/** The method tables: `cri.call(runtime.stopContainer, { containerId })`. */
export const runtime = RuntimeServiceService;
export const image = ImageServiceService;

interface Method<Req, Res> {
  readonly path: string;
  readonly requestStream: false;
  readonly responseStream: boolean;
  readonly requestSerialize: (value: Req) => Buffer;
  readonly requestDeserialize: (value: Buffer) => Req;
  readonly responseDeserialize: (value: Buffer) => Res;
}

/** Members that the request leaves out have their protobuf defaults. */
function wholeRequest<Req extends object, Res>(method: Method<Req, Res>, request: Partial<Req>): Req {
  return { ...method.requestDeserialize(Buffer.alloc(0)), ...request };
}

export interface CallOptions {
  /** Default 120 s, kubelet's runtimeRequestTimeout; stretched by the machine's slowness unless `exactMs` is given. */
  readonly limitMs?: number;
  readonly exactMs?: number;
  readonly signal?: AbortSignal;
}

export interface Listening<Res> {
  /** What has come so far, in its order. */
  readonly messages: readonly Res[];
  /** The error it ended with; undefined for an end without one. */
  readonly ended: Promise<unknown>;
  readonly pause: () => void;
  readonly resume: () => void;
  readonly stop: () => void;
}

/** kubelet's limit (cri-client pkg/utils.go, maxMsgSize). */
export const maxMessageBytes = 16 * 1024 * 1024;

export class CriClient {
  readonly #client: Client;

  constructor(socket: string) {
    this.#client = new Client(`unix://${socket}`, credentials.createInsecure(), {
      "grpc.default_authority": "localhost",
      "grpc.max_receive_message_length": maxMessageBytes,
      "grpc.max_send_message_length": -1,
      "grpc.initial_reconnect_backoff_ms": 50,
      "grpc.min_reconnect_backoff_ms": 50,
      "grpc.max_reconnect_backoff_ms": 200,
      "grpc.use_local_subchannel_pool": 1,
    });
  }

  async ready(limitMs: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#client.waitForReady(Date.now() + limitMs, (error) => {
        if (error === undefined) resolve();
        else reject(error);
      });
    });
  }

  /** Members that the request leaves out have their protobuf defaults. */
  async call<Req extends object, Res>(
    method: Method<Req, Res>,
    request: Partial<Req>,
    options: CallOptions = {},
  ): Promise<Res> {
    const whole = wholeRequest(method, request);
    const deadline = Date.now() + (options.exactMs ?? limit(options.limitMs ?? 120_000));
    return await new Promise<Res>((resolve, reject) => {
      const sent = this.#client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        whole,
        new Metadata(),
        { deadline },
        (error, response) => {
          if (error !== null) reject(error);
          else if (response === undefined) reject(new Error(`${method.path}: neither an error nor an answer`));
          else resolve(response);
        },
      );
      options.signal?.addEventListener("abort", () => {
        sent.cancel();
      });
    });
  }

  /** Every message of a server stream. */
  async stream<Req extends object, Res>(method: Method<Req, Res>, request: Partial<Req>): Promise<Res[]> {
    const stream = this.#open(method, request, { deadline: Date.now() + limit(10_000) });
    return await new Promise<Res[]>((resolve, reject) => {
      const messages: Res[] = [];
      stream.on("data", (message: Res) => messages.push(message));
      stream.on("error", reject);
      stream.on("end", () => {
        resolve(messages);
      });
    });
  }

  /** A server stream without an end. Resolves once the server has answered with its headers: it is heard from now on. */
  async listen<Req extends object, Res>(method: Method<Req, Res>, request: Partial<Req>): Promise<Listening<Res>> {
    const stream = this.#open(method, request, {});
    const messages: Res[] = [];
    stream.on("data", (message: Res) => messages.push(message));
    const ended = new Promise<unknown>((resolve) => {
      stream.on("error", resolve);
      stream.on("end", () => {
        resolve(undefined);
      });
    });
    const headers = new Promise<void>((resolve) => {
      stream.on("metadata", () => {
        resolve();
      });
    });
    const failed = await Promise.race([headers, ended]);
    if (failed instanceof Error) throw failed;
    return {
      messages,
      ended,
      pause: () => stream.pause(),
      resume: () => stream.resume(),
      stop: () => {
        stream.cancel();
      },
    };
  }

  close(): void {
    this.#client.close();
  }

  #open<Req extends object, Res>(
    method: Method<Req, Res>,
    request: Partial<Req>,
    options: { readonly deadline?: number },
  ): ClientReadableStream<Res> {
    return this.#client.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      wholeRequest(method, request),
      new Metadata(),
      options,
    );
  }
}

export function isServiceError(thrown: unknown): thrown is ServiceError {
  return thrown instanceof Error && "code" in thrown && typeof thrown.code === "number" && "details" in thrown;
}

/** The error of a call that must fail with this status. Its message must match, and say more than a code. */
export async function failure(call: Promise<unknown>, code: status, message = /\S+ \S+/): Promise<ServiceError> {
  let answer: unknown;
  try {
    answer = await call;
  } catch (thrown) {
    if (!isServiceError(thrown)) throw thrown;
    if (thrown.code !== code) {
      throw new Error(`expected ${status[code]}, got ${status[thrown.code]}: ${thrown.details}`, { cause: thrown });
    }
    if (!message.test(thrown.details)) {
      throw new Error(`expected a message like ${String(message)}, got: ${thrown.details}`, { cause: thrown });
    }
    return thrown;
  }
  const shown = JSON.stringify(answer, (_key, value: unknown) => (typeof value === "bigint" ? String(value) : value));
  throw new Error(`expected ${status[code]}, got the answer ${shown}`);
}

export { status };

/** Whatever they are doing. */
export async function removeAllPods(cri: CriClient): Promise<void> {
  const { items } = await cri.call(runtime.listPodSandbox, {});
  await Promise.all(
    items.map(async ({ id }) => {
      await cri.call(runtime.stopPodSandbox, { podSandboxId: id });
      await cri.call(runtime.removePodSandbox, { podSandboxId: id });
    }),
  );
}
