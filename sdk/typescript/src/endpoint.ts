/** Where the runtime is: what is said, what the environment says, and where it usually is. */
import { statSync } from "node:fs";
import { InvalidArgumentError } from "./errors.js";

export type Endpoint =
  | { readonly kind: "unix"; readonly path: string; readonly shown: string }
  | { readonly kind: "tcp" | "tls"; readonly host: string; readonly port: number; readonly shown: string }
  | { readonly kind: "vsock"; readonly cid: number; readonly port: number; readonly shown: string };

/** The socket that a node's runtime shares with pods, and the port of one beside an app. */
export const usualPlaces = { socket: "/var/run/a3s/a3s-box.sock", port: "tcp://127.0.0.1:4088" };

const httpsPort = 443;
const highestPort = 65_535;
const highestCid = 0xffff_ffff;
const forms =
  "unix:///var/run/a3s/a3s-box.sock, tcp://localhost:4088, localhost:4088, https://box.example:4088, vsock://2:4088";

export function parseEndpoint(said: string): Endpoint {
  const found = unix(said) ?? vsock(said) ?? https(said) ?? tcp(said);
  if (found === undefined) throw new InvalidArgumentError(`"${said}" is no endpoint (${forms})`, { stage: "endpoint" });
  return found;
}

function unix(said: string): Endpoint | undefined {
  const path = /^unix:\/\/(\/[^\0]+)$/.exec(said)?.[1];
  return path === undefined ? undefined : { kind: "unix", path, shown: said };
}

function vsock(said: string): Endpoint | undefined {
  const [, cid, port] = /^vsock:\/\/(\d{1,10}):(\d{1,10})\/?$/.exec(said) ?? [];
  if (cid === undefined || Number(cid) > highestCid || Number(port) > highestCid) return undefined;
  return { kind: "vsock", cid: Number(cid), port: Number(port), shown: said };
}

const address = String.raw`(\[[0-9a-fA-F:.]+\]|[^:/\s\[\]@?#]+)`;

function https(said: string): Endpoint | undefined {
  const [, host, port] = new RegExp(`^https://${address}(?::(\\d{1,5}))?/?$`).exec(said) ?? [];
  if (host === undefined || Number(port ?? httpsPort) > highestPort) return undefined;
  return { kind: "tls", host: bare(host), port: Number(port ?? httpsPort), shown: said };
}

function tcp(said: string): Endpoint | undefined {
  const [, host, port] = new RegExp(`^(?:tcp://|http://)?${address}:(\\d{1,5})/?$`).exec(said) ?? [];
  if (host === undefined || Number(port) > highestPort || Number(port) === 0) return undefined;
  return { kind: "tcp", host: bare(host), port: Number(port), shown: said };
}

function bare(host: string): string {
  return host.replace(/^\[|\]$/g, "");
}

/**
 * What is said, else `A3S_BOX_ENDPOINT`; without either the places to try in turn: the node's socket where there is one,
 * then port 4088 of this machine.
 */
export function endpointsToTry(
  said: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
  usual = usualPlaces,
): { readonly endpoints: readonly Endpoint[]; readonly missing: readonly string[] } {
  const one = nonEmpty(said) ?? nonEmpty(env["A3S_BOX_ENDPOINT"]);
  if (one !== undefined) return { endpoints: [parseEndpoint(one)], missing: [] };
  const socket = `unix://${usual.socket}`;
  return isSocket(usual.socket)
    ? { endpoints: [parseEndpoint(socket), parseEndpoint(usual.port)], missing: [] }
    : { endpoints: [parseEndpoint(usual.port)], missing: [`${socket}: there is no such socket`] };
}

export function nonEmpty(value: string | undefined): string | undefined {
  return value === "" ? undefined : value;
}

function isSocket(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isSocket() === true;
  } catch {
    return false;
  }
}
