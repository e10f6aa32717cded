import type {
  Client,
  ClientDuplexStream,
  ClientReadableStream,
  ClientWritableStream,
  Metadata,
  ServiceError,
} from "@grpc/grpc-js";
import { messageOf, RuntimeError } from "../../base/errors.js";
import { answerBounds, type AgentPath } from "./answer-bounds.js";
import type { CallScope } from "./call-scope.js";
import type { StartCall } from "./unary.js";
import { broken, scanMessage } from "./wire-scan.js";

/** gRPC's own, around a message. */
const frameBytes = 5;

/** A method of the generated service. */
export interface Method<Req, Res> {
  readonly path: AgentPath;
  readonly requestSerialize: (request: Req) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Res;
}

/**
 * The agent's methods, whose answers are measured and counted (`answerBounds`) before they are decoded. One that breaks its
 * bounds, or that can't be decoded, ends the channel.
 */
export class CheckedMethods {
  readonly #client: Client;
  readonly #scope: CallScope;

  constructor(client: Client, scope: CallScope) {
    this.#client = client;
    this.#scope = scope;
  }

  unary<Req, Res>(method: Method<Req, Res>, request: Req): StartCall<Res> {
    const { path, requestSerialize } = method;
    const decode = this.#decoderOf(method);
    return (metadata, options, reply) =>
      this.#client.makeUnaryRequest(path, requestSerialize, decode, request, metadata, options, reply);
  }

  /** Many messages from here, one answer. */
  clientStream<Req, Res>(
    method: Method<Req, Res>,
    reply: (error: ServiceError | null, response?: Res) => void,
  ): ClientWritableStream<Req> {
    const { path, requestSerialize } = method;
    return this.#client.makeClientStreamRequest(path, requestSerialize, this.#decoderOf(method), reply);
  }

  /** One message from here, many answers. */
  serverStream<Req, Res>(method: Method<Req, Res>, request: Req): ClientReadableStream<Res> {
    const { path, requestSerialize } = method;
    return this.#client.makeServerStreamRequest(path, requestSerialize, this.#decoderOf(method), request);
  }

  duplex<Req, Res>(method: Method<Req, Res>, metadata: Metadata): ClientDuplexStream<Req, Res> {
    const { path, requestSerialize } = method;
    return this.#client.makeBidiStreamRequest(path, requestSerialize, this.#decoderOf(method), metadata);
  }

  close(): void {
    this.#client.close();
  }

  /** grpc-js keeps no more than the message of what a decoder throws: the channel learns the rest here. */
  #decoderOf<Req, Res>({ path, responseDeserialize }: Method<Req, Res>): (bytes: Buffer) => Res {
    return (bytes) => {
      this.#scope.received(bytes.length + frameBytes);
      try {
        scanMessage(bytes, answerBounds[path]);
        return responseDeserialize(bytes);
      } catch (thrown) {
        const what =
          thrown instanceof RuntimeError ? thrown : broken(`bytes that are no message (${messageOf(thrown)})`);
        this.#scope.break(inAnswerOf(path, what));
        throw what;
      }
    };
  }
}

function inAnswerOf(path: AgentPath, reason: RuntimeError): RuntimeError {
  const method = path.slice(path.lastIndexOf("/") + 1);
  return new RuntimeError(reason.code, `${reason.message}, in an answer of ${method}`, { cause: reason });
}
