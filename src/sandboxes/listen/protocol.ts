/** What the one port asks of each protocol that is spoken on it (design, decision 27). */
import type { ServiceDefinition, UntypedServiceImplementation, Metadata } from "@grpc/grpc-js";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { Caller } from "../core/caller.js";

/** One HTTP/1.1 request, after it is known who calls, and before anything of its body is read. */
export interface HttpRequest {
  /** Absent where the protocol has tokens of its own and the connection alone does not say who calls. */
  readonly caller: Caller | undefined;
  readonly message: IncomingMessage;
  /** Method, and path and query parsed once. */
  readonly method: string;
  readonly url: URL;
  /** Whom the request is for where its headers or its host name a sandbox: `E2b-Sandbox-Id`, `x-sandbox-id`, `PORT-ID.…`. */
  readonly address: SandboxAddress | undefined;
  /** Aborts when the client has gone, or the daemon stops. */
  readonly signal: AbortSignal;
}

export interface SandboxAddress {
  readonly id: string;
  readonly port: number | undefined;
}

/** A protocol of HTTP/1.1. The first in their order that takes a request has it; none: 404. */
export interface HttpProtocol {
  readonly name: string;
  /** By method, path and headers alone. */
  takes(request: HttpRequest): boolean;
  /** Answers. What it throws becomes its own error's form, by itself; what still comes out is a 500 without a detail. */
  handle(request: HttpRequest, response: ServerResponse): Promise<void>;
  /** `Connection: Upgrade`, but for offers of another HTTP and of TLS; absent: 426. `head`: what has come after the request. */
  upgrade?(request: HttpRequest, socket: Duplex, head: Buffer): Promise<void>;
}

/** A service of gRPC. */
export interface GrpcProtocol {
  readonly service: ServiceDefinition;
  implementation(who: WhoCalls): UntypedServiceImplementation;
}

/** Who makes a call of gRPC, and about which sandbox (`x-sandbox-id`; the only one where there is just one). */
export interface WhoCalls {
  /** Throws `unauthenticated`. */
  caller(call: { readonly metadata: Metadata; getPeer(): string }): Caller;
  sandbox(call: { readonly metadata: Metadata }): string | undefined;
}
