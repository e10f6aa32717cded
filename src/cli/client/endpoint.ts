/** Where the agents' edge is, for the commands that are clients of it. */
import { statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { RequestOptions } from "node:http";
import { RuntimeError } from "../../base/errors.js";

/** The socket that a node's daemon shares with pods, and the port of one beside an app. */
const usualSocket = "/var/run/a3s/a3s-box.sock";
const usualPort = "tcp://127.0.0.1:4088";

export interface Endpoint {
  /** As it was said: for messages. */
  readonly address: string;
  /** For `node:http`. */
  readonly target: Pick<RequestOptions, "socketPath" | "host" | "port">;
  /** For `@grpc/grpc-js`. */
  readonly grpcTarget: string;
  /** `Authorization: Bearer`; absent where none is given. */
  readonly token?: string;
}

/**
 * `given`, else `A3S_BOX_ENDPOINT` (`unix://PATH`, `tcp://HOST:PORT`, `HOST:PORT`), else the node's socket where it is, else
 * port 4088 of this machine. The token is that of `A3S_BOX_TOKEN`, or what is in the file `A3S_BOX_TOKEN_FILE`.
 */
export async function findEndpoint(given: string | undefined, env: NodeJS.ProcessEnv): Promise<Endpoint> {
  const address =
    given ?? nonEmpty(env["A3S_BOX_ENDPOINT"]) ?? (isSocket(usualSocket) ? `unix://${usualSocket}` : usualPort);
  const token = await tokenOf(env);
  return { address, ...parsed(address), ...(token === undefined ? {} : { token }) };
}

function parsed(address: string): Pick<Endpoint, "target" | "grpcTarget"> {
  if (address.startsWith("unix://")) {
    const path = address.slice("unix://".length);
    if (!path.startsWith("/")) throw wrong(address);
    return { target: { socketPath: path }, grpcTarget: `unix://${path}` };
  }
  const match = /^(?:tcp:\/\/|http:\/\/)?(\[[0-9a-fA-F:.]+\]|[^:/\s]+):(\d{1,5})\/?$/.exec(address);
  const [, host, port] = match ?? [];
  if (host === undefined || port === undefined || Number(port) > 65_535) throw wrong(address);
  return { target: { host: host.replace(/^\[|\]$/g, ""), port: Number(port) }, grpcTarget: `${host}:${port}` };
}

function wrong(address: string): RuntimeError {
  return new RuntimeError("invalidArgument", `"${address}" is no endpoint`, {
    hint: "unix:///var/run/a3s/a3s-box.sock, tcp://localhost:4088 or localhost:4088",
  });
}

/** What to do where nobody answers: the commands need a daemon. */
export function nobodyThere({ address }: Endpoint, cause: unknown): RuntimeError {
  return new RuntimeError("unavailable", `nobody serves sandboxes at ${address}`, {
    hint: "start one with `a3s-box-cri-runtime serve --sandboxes --cri off`, or set A3S_BOX_ENDPOINT",
    cause,
  });
}

/** Undefined where neither is set. */
export async function tokenOf(env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const file = nonEmpty(env["A3S_BOX_TOKEN_FILE"]);
  return file === undefined ? nonEmpty(env["A3S_BOX_TOKEN"]) : (await readFile(file, "utf8")).trim();
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === "" ? undefined : value;
}

function isSocket(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isSocket() === true;
}
