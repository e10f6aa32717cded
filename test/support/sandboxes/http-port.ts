/** Protocols on a plain HTTP server, as the one port asks them: who calls is who says so in `X-API-Key`. */
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import type { Caller } from "../../../src/sandboxes/core/caller.js";
import type { HttpProtocol, HttpRequest, SandboxAddress } from "../../../src/sandboxes/listen/protocol.js";

export interface HttpPort {
  readonly url: string;
  readonly port: number;
  close(): Promise<void>;
}

export async function openHttpPort(protocols: readonly HttpProtocol[], anybody?: Caller, port = 0): Promise<HttpPort> {
  const server = createServer();
  server.on("request", (message, response) => {
    const gone = new AbortController();
    response.once("close", () => {
      gone.abort();
    });
    const request = requestOf(message, anybody, gone.signal);
    const protocol = protocols.find((one) => one.takes(request));
    if (protocol === undefined) response.writeHead(404).end("no protocol takes it");
    else {
      protocol.handle(request, response).catch((thrown: unknown) => {
        response.writeHead(599).end(String(thrown));
      });
    }
  });
  server.on("upgrade", (message, socket, head) => {
    const gone = new AbortController();
    socket.once("close", () => {
      gone.abort();
    });
    const request = requestOf(message, anybody, gone.signal);
    void protocols.find((one) => one.takes(request))?.upgrade?.(request, socket, head);
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const address = server.address();
  if (!isInet(address)) throw new Error("no port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    port: address.port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

function requestOf(message: IncomingMessage, anybody: Caller | undefined, signal: AbortSignal): HttpRequest {
  const key = message.headers["x-api-key"];
  const caller = typeof key === "string" ? { tenant: key, name: `token ${key}` } : anybody;
  const url = new URL(message.url ?? "/", "http://port");
  return { caller, message, method: message.method ?? "GET", url, address: addressOf(message), signal };
}

function addressOf({ headers }: IncomingMessage): SandboxAddress | undefined {
  const id = headers["e2b-sandbox-id"];
  const port = headers["e2b-sandbox-port"];
  if (typeof id === "string") return { id, port: port === undefined ? undefined : Number(port) };
  const [, of, name] = /^(\d{1,5})-([a-z0-9]+)\./.exec(headers.host ?? "") ?? [];
  return name === undefined ? undefined : { id: name, port: Number(of) };
}

function isInet(address: AddressInfo | string | null): address is AddressInfo {
  return typeof address === "object" && address !== null;
}
