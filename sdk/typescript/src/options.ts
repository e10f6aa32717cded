/** What every call may be told. */
export interface RequestOpts {
  /** How long the runtime may take to answer, in milliseconds; 0: as long as it takes. Usually 60,000. */
  readonly requestTimeoutMs?: number;
  /** Ends the call; it then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Where the runtime is, and who calls. */
export interface ConnectionOpts extends RequestOpts {
  /** `unix:///PATH`, `tcp://HOST:PORT`, `HOST:PORT`, `https://HOST:PORT`, `vsock://CID:PORT`. Else `A3S_BOX_ENDPOINT`, else it is looked for. */
  readonly endpoint?: string;
  /** Else what the file `A3S_BOX_TOKEN_FILE` has, else `A3S_BOX_TOKEN`. */
  readonly token?: string;
  /** E2B's name of `token`. */
  readonly apiKey?: string;
  /** PEM of the authorities that the runtime's certificate may be of; else the file `A3S_BOX_CA_FILE`, else the system's. */
  readonly ca?: string;
  /** PEM of a client certificate and its key. */
  readonly cert?: string;
  readonly key?: string;
  /** `http` for a way that passes HTTP/1.1 alone: what it has is in the guide. Else `A3S_BOX_PROTOCOL`, else `grpc`. */
  readonly protocol?: "grpc" | "http";
  /** Names of sandboxes' ports are below it (`getHost`); else `A3S_BOX_DOMAIN`. */
  readonly domain?: string;
  /** How long a runtime that restarts is waited for, in milliseconds. Usually 30,000. */
  readonly reconnectMs?: number;
  /**
   * A program that connects its standard input and output to a vsock, with its arguments; `{cid}` and `{port}` stand for
   * numbers. Usually `socat - VSOCK-CONNECT:{cid}:{port}`.
   */
  readonly vsockHelper?: readonly string[];
}
