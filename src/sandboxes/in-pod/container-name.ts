/** Which container a request names: by its header, and by nothing else. */
import type { IncomingHttpHeaders } from "node:http";
import { RuntimeError } from "../../base/errors.js";
import type { GrpcProtocol, HttpProtocol, HttpRequest } from "../listen/protocol.js";

const header = "x-container-name";
/** A DNS label, as Kubernetes has it. */
const label = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

function nameIn(values: readonly unknown[]): string | undefined {
  const [name, second] = values;
  if (name === undefined) return undefined;
  if (second !== undefined || typeof name !== "string" || !label.test(name)) {
    throw new RuntimeError("invalidArgument", `${header} is no container's name`);
  }
  return name;
}

function containerIn(headers: IncomingHttpHeaders): string | undefined {
  return nameIn([headers[header]].flat().filter((value) => value !== undefined));
}

/** A protocol of sandboxes, for one whose "sandboxes" are the containers of a pod: x-sandbox-id is the router's word. */
export function httpForContainers(inner: HttpProtocol): HttpProtocol {
  const addressed = (request: HttpRequest): HttpRequest => {
    const id = containerIn(request.message.headers);
    return { ...request, address: id === undefined ? undefined : { id, port: undefined } };
  };
  return {
    name: inner.name,
    takes: (request) => inner.takes({ ...request, address: undefined }),
    handle: (request, response) => inner.handle(addressed(request), response),
  };
}

export function grpcForContainers(inner: GrpcProtocol): GrpcProtocol {
  return {
    service: inner.service,
    implementation: (who) =>
      inner.implementation({ caller: who.caller.bind(who), sandbox: ({ metadata }) => nameIn(metadata.get(header)) }),
  };
}
