/** Any other port of a sandbox: HTTP to whatever listens there, streamed both ways, upgrades (WebSocket) too. */
import { request as httpRequest, type ClientRequest, type IncomingMessage, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { codeOf, RuntimeError } from "../../../base/errors.js";
import { stage } from "../../../base/stage.js";
import type { Granted } from "../access.js";
import type { Sandboxes } from "../../core/sandboxes.js";
import type { HttpRequest } from "../../listen/protocol.js";
import { headersInto, headersOutOf, type ProxyHeaders } from "./headers.js";
import { PortStream } from "../../../runtime/served-ports/port-stream.js";

const connectLimitMs = 10_000;

export interface Target {
  readonly sandboxes: Sandboxes;
  readonly granted: Granted;
  readonly port: number;
}

/** Nobody listens at that port of the sandbox, which is there. */
export class PortClosed extends RuntimeError {
  readonly port: number;

  constructor(port: number, cause: unknown) {
    super("failedPrecondition", "The sandbox is running but port is not open", { cause });
    this.port = port;
  }
}

export async function proxyHttp(target: Target, request: HttpRequest, response: ServerResponse): Promise<void> {
  const { upstream, stream } = await begun(target, request, {});
  // Whatever breaks breaks both ways: a client that has gone is seen by the program, and the reverse.
  response.once("close", () => stream.destroy());
  sendOn(request.message, upstream);
  const answer = await answerOf(upstream, request.signal).catch((cause: unknown) => {
    throw broken(cause);
  });
  response.writeHead(answer.statusCode ?? 502, answer.statusMessage ?? "", outgoing(headersOutOf(answer.headers)));
  await pipeline(answer, response);
}

/**
 * The body, at the program's speed. A program may answer before it has all of it, or without: what it does not take is passed
 * over, so that its client comes to read the answer.
 */
function sendOn(message: IncomingMessage, upstream: ClientRequest): void {
  message.on("error", () => undefined); // the answer's "close" follows
  message.pipe(upstream);
  upstream.once("close", () => {
    message.unpipe(upstream);
    message.resume();
  });
}

export async function proxyUpgrade(target: Target, request: HttpRequest, socket: Duplex, head: Buffer): Promise<void> {
  const upgrade = request.message.headers.upgrade ?? "";
  const { upstream } = await begun(target, request, { connection: "Upgrade", upgrade });
  const answered = new Promise<{ answer: IncomingMessage; other?: Duplex; first?: Buffer }>((resolve, reject) => {
    upstream.once("upgrade", (answer, other, first) => {
      resolve({ answer, other, first });
    });
    upstream.once("response", (answer) => {
      resolve({ answer });
    });
    upstream.once("error", reject);
  });
  upstream.end();
  const { answer, other, first } = await answered.catch((cause: unknown) => {
    throw broken(cause);
  });
  socket.write(headText(answer, other !== undefined));
  if (other === undefined) {
    await pipeline(answer, socket);
    socket.destroy(); // its other half would stay open for as long as the client likes
    return;
  }
  if (first !== undefined && first.length > 0) socket.write(first);
  if (head.length > 0) other.write(head);
  await Promise.allSettled([pipeline(socket, other), pipeline(other, socket)]);
  other.destroy();
  socket.destroy();
}

async function begun(
  { sandboxes, granted, port }: Target,
  request: HttpRequest,
  more: ProxyHeaders,
): Promise<{ upstream: ClientRequest; stream: PortStream }> {
  const { message, signal } = request;
  const connection = await stage("connect to port", connectLimitMs, signal, (within) =>
    sandboxes.connectPort(granted.caller, granted.view.id, port, within),
  ).catch((thrown: unknown) => {
    throw codeOf(thrown) === "failedPrecondition" ? new PortClosed(port, thrown) : thrown;
  });
  const stream = new PortStream(connection);
  const callersAuthorization = granted.by === "caller" && message.headers["x-api-key"] === undefined;
  const chunked = message.headers["transfer-encoding"] === undefined ? {} : { "transfer-encoding": "chunked" };
  const upstream = httpRequest({
    method: request.method,
    path: message.url ?? "/",
    headers: outgoing({ ...headersInto(message.headers, callersAuthorization), ...chunked, ...more }),
    setHost: false,
    signal,
    createConnection: () => stream, // and no agent: one would make its own
  });
  upstream.on("error", () => {
    stream.destroy();
  });
  return { upstream, stream };
}

async function answerOf(upstream: ClientRequest, signal: AbortSignal): Promise<IncomingMessage> {
  return await new Promise((resolve, reject) => {
    upstream.once("response", resolve);
    upstream.once("error", reject);
    upstream.once("close", () => {
      reject(new RuntimeError(signal.aborted ? "canceled" : "unavailable", "the connection to the port has ended"));
    });
  });
}

function broken(cause: unknown): RuntimeError {
  return new RuntimeError("unavailable", "what listens at the port did not answer in HTTP", { cause });
}

function outgoing(headers: ProxyHeaders): Record<string, string | string[]> {
  const all: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) all[name] = typeof value === "string" ? value : [...value];
  return all;
}

/** Node has no words for an answer to an upgrade: they are written by hand, of what its parser took. */
function headText(answer: IncomingMessage, switched: boolean): string {
  const headers: ProxyHeaders = { ...headersOutOf(answer.headers) };
  headers["connection"] = switched ? "Upgrade" : "close";
  if (switched) headers["upgrade"] = answer.headers.upgrade ?? "";
  const lines = Object.entries(headers).flatMap(([name, value]) =>
    (typeof value === "string" ? [value] : value).map((one) => `${name}: ${one}`),
  );
  return [`HTTP/1.1 ${answer.statusCode ?? 502} ${answer.statusMessage ?? ""}`, ...lines, "", ""].join("\r\n");
}
