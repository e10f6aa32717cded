import type { Logger } from "../../base/log.js";
import type { SandboxPortConfig } from "../../config/sandboxes-listen.js";
import type { PortFigures } from "../../metrics/port-figures.js";
import type { Native } from "../../native/addon.js";
import type { GrpcProtocol, HttpProtocol } from "./protocol.js";
import type { PodsOfNode } from "./who/pods-of-node.js";

/** How long a client may take, or do nothing. */
export interface HttpLimits {
  /** For request line and headers. */
  readonly headersMs: number;
  /** Between two bytes of a request's body. */
  readonly bodyIdleMs: number;
  /** To take anything of an answer that waits for it. */
  readonly readerIdleMs: number;
  /** Between two requests. */
  readonly keepAliveMs: number;
  /** To send the rest of a body that nobody wants after the answer. */
  readonly lingerMs: number;
}

export interface GrpcLimits {
  /** Without a call a connection ends after that. */
  readonly idleMs: number;
  /** Who is connected is asked so often for a sign of life, and cut off when there is none for as long. */
  readonly lifeSignMs: number;
}

export interface DoorLimits extends HttpLimits, GrpcLimits {
  /** For the first bytes, and for a handshake of TLS. */
  readonly firstBytesMs: number;
}

export interface SandboxPortOptions {
  readonly config: SandboxPortConfig;
  readonly log: Logger;
  readonly native: Pick<
    Native,
    "peerCredentials" | "openPeer" | "signalProcess" | "closeFd" | "bindVsock" | "joinAccepted"
  >;
  /** Whose namespaces callers on Unix sockets are in: `podsOfRuntime(deps.sandboxes)`. */
  readonly pods: PodsOfNode;
  /** `deps.metrics.port`. */
  readonly figures: PortFigures;
  /** Of HTTP/1.1; the first that takes a request has it. */
  readonly protocolsHttp: readonly HttpProtocol[];
  /** Beside health and reflection, which are always there. */
  readonly protocolsGrpc: readonly GrpcProtocol[];
  /** Why the daemon is not well, in a line; undefined when it is. */
  readonly health: () => string | undefined;
  /** For tests. */
  readonly limits?: Partial<DoorLimits>;
}
