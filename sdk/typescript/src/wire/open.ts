/** A wire to where the runtime is: the place that is said, or the first of the usual ones that answers. */
import { credentials, type ChannelCredentials } from "@grpc/grpc-js";
import { Deadline } from "../deadline.js";
import { endpointsToTry, nonEmpty, usualPlaces, type Endpoint } from "../endpoint.js";
import { InvalidArgumentError, UnavailableError } from "../errors.js";
import type { ConnectionOpts } from "../options.js";
import type { Environment } from "./environment.js";
import { GrpcWire } from "./grpc.js";
import { HttpWire } from "./http.js";
import { probe } from "./probe.js";
import { secured, tlsFiles, type TlsFiles } from "./tls-files.js";
import { tokenSource } from "./token.js";
import { VsockBridge } from "./vsock.js";
import type { Wire } from "./wire.js";

const connectMs = 5_000;
const whatToDo =
  "start one with `a3s-box serve --sandboxes --cri off`, or say where it is by the option endpoint or A3S_BOX_ENDPOINT";

export interface OpenWire {
  readonly endpoint: Endpoint;
  readonly wire: Wire;
}

export async function openWire(opts: ConnectionOpts, env: Environment, usual = usualPlaces): Promise<OpenWire> {
  const { endpoints, missing } = endpointsToTry(opts.endpoint, env, usual);
  const tls = tlsFiles(opts, env);
  const tried = [...missing];
  for (const endpoint of endpoints) {
    const over = new AbortController();
    const limit = new Deadline(connectMs, over.signal, {});
    let made: Made | undefined;
    try {
      await probe(endpoint, tls, limit.signal);
      made = await wireTo(endpoint, { opts, env, tls });
      await Promise.race([made.wire.ready(limit.signal), ...(made.failed === undefined ? [] : [made.failed])]);
      return { endpoint, wire: made.wire };
    } catch (thrown) {
      made?.wire.close();
      if (thrown instanceof InvalidArgumentError) throw thrown;
      const why = made?.explain?.() ?? (thrown instanceof Error ? thrown.message : String(thrown));
      tried.push(`${endpoint.shown}: ${why}`);
    } finally {
      over.abort();
      limit.clear();
    }
  }
  throw new UnavailableError(`nobody serves sandboxes: tried ${tried.join("; ")} (${whatToDo})`, { stage: "connect" });
}

interface Made {
  readonly wire: Wire;
  /** Why it does not come about, where gRPC can't know that. */
  readonly explain?: () => string;
  /** Rejects where it will not come about. */
  readonly failed?: Promise<never>;
}

interface Means {
  readonly opts: ConnectionOpts;
  readonly env: Environment;
  readonly tls: TlsFiles;
}

async function wireTo(endpoint: Endpoint, { opts, env, tls }: Means): Promise<Made> {
  const token = tokenSource(opts, env);
  const protocol = opts.protocol ?? nonEmpty(env["A3S_BOX_PROTOCOL"]) ?? "grpc";
  if (protocol !== "grpc" && protocol !== "http") {
    throw new InvalidArgumentError(`protocol "${protocol}" is neither grpc nor http`, { stage: "connect" });
  }
  if (endpoint.kind === "vsock") {
    const { cid, port, shown } = endpoint;
    const bridge = await VsockBridge.open({ cid, port, helper: opts.vsockHelper });
    const { path } = bridge;
    const wire =
      protocol === "http"
        ? new HttpWire({ kind: "unix", path, shown }, tls, token)
        : grpcTo(`unix:${path}`, "localhost", token);
    return { wire: closing(wire, bridge), explain: () => bridge.explain(), failed: bridge.failed };
  }
  if (protocol === "http") return { wire: new HttpWire(endpoint, tls, token) };
  if (endpoint.kind === "unix") return { wire: grpcTo(`unix:${endpoint.path}`, "localhost", token) };
  const host = endpoint.host.includes(":") ? `[${endpoint.host}]` : endpoint.host;
  const secure = endpoint.kind === "tls" ? secured(tls) : undefined;
  return { wire: grpcTo(`dns:${host}:${endpoint.port}`, undefined, token, secure) };
}

function grpcTo(
  target: string,
  authority: string | undefined,
  token: () => Promise<string | undefined>,
  secure?: ChannelCredentials,
): Wire {
  return new GrpcWire({ target, authority, credentials: secure ?? credentials.createInsecure(), token });
}

function closing(wire: Wire, bridge: VsockBridge): Wire {
  const close = wire.close.bind(wire);
  wire.close = () => {
    close();
    bridge.close();
  };
  return wire;
}
