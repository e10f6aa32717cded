/** Which sandbox a request is for, by its headers or the name of its host. */
import type { IncomingHttpHeaders } from "node:http";
import { RuntimeError } from "../../base/errors.js";
import type { SandboxAddress } from "./protocol.js";

const sandboxId = /^[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$/;
const portText = /^[1-9]\d{0,4}$/;
const mostPort = 65_535;
/** "49983-f00…", before the domain: neither has a dash or a dot in it (`SandboxName`). */
const firstLabel = /^([1-9]\d{0,4})-([a-z0-9]{1,40})\.[^.]/i;

/**
 * E2B's headers, agent-sandbox's, or the host's first label; undefined where none names a sandbox. `invalidArgument` where
 * one is malformed, or two name different ones.
 */
export function sandboxAddress(headers: IncomingHttpHeaders, host: string): SandboxAddress | undefined {
  const found = [
    fromHeaders("e2b-sandbox-id", "e2b-sandbox-port", headers),
    fromHeaders("x-sandbox-id", "x-sandbox-port", headers),
    fromHost(host),
  ].flatMap((address) => address ?? []);
  const [first, ...more] = found;
  if (first === undefined) return undefined;
  let { port } = first;
  for (const other of more) {
    const differs = port !== undefined && other.port !== undefined && other.port !== port;
    if (other.id !== first.id || differs) {
      throw new RuntimeError("invalidArgument", "the request names two sandboxes, or two ports of one");
    }
    port ??= other.port;
  }
  return { id: first.id, port };
}

function fromHeaders(idName: string, portName: string, headers: IncomingHttpHeaders): SandboxAddress | undefined {
  const id = headers[idName];
  if (id === undefined) return undefined;
  if (typeof id !== "string" || !sandboxId.test(id)) {
    throw new RuntimeError("invalidArgument", `${idName} is no sandbox's id`);
  }
  const port = headers[portName];
  if (port === undefined) return { id, port: undefined };
  if (typeof port !== "string" || !portText.test(port) || Number(port) > mostPort) {
    throw new RuntimeError("invalidArgument", `${portName} is no port`);
  }
  return { id, port: Number(port) };
}

function fromHost(host: string): SandboxAddress | undefined {
  const [, port, id] = firstLabel.exec(host) ?? [];
  if (port === undefined || id === undefined || Number(port) > mostPort) return undefined;
  return { id: id.toLowerCase(), port: Number(port) };
}

/** The same of a call of gRPC, whose headers are what its metadata has. */
export function sandboxIdIn(values: readonly unknown[]): string | undefined {
  const [id, second] = values;
  if (id === undefined || id === "") return undefined;
  if (second !== undefined || typeof id !== "string" || !sandboxId.test(id)) {
    throw new RuntimeError("invalidArgument", "x-sandbox-id is no sandbox's id");
  }
  return id;
}
