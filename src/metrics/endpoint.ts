/** `/metrics` for Prometheus and `/healthz` for whoever restarts the daemon. Without TLS or login, and read-only. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { isIPv6 } from "node:net";
import { messageOf, RuntimeError } from "../base/errors.js";
import type { Logger } from "../base/log.js";
import type { Metrics } from "./metrics.js";

/** One scraper, and people who look. */
const maxConnections = 32;
/** For request line and headers. */
const headersMs = 5_000;
/** A client that neither asks nor reads for this long is cut off. */
const idleMs = 30_000;

export interface EndpointAddress {
  /** IP address. */
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
}

export interface MetricsEndpoint {
  /** "http://127.0.0.1:9091". */
  readonly url: string;
  close(): Promise<void>;
}

/** Why the daemon is not well, in a line; undefined when it is. */
export type Health = () => string | undefined;

/** Errors: `unavailable` when the address can't be listened on. */
export async function serveMetrics(
  address: EndpointAddress,
  metrics: Metrics,
  health: Health,
  log: Logger,
): Promise<MetricsEndpoint> {
  const server = createServer((request, response) => {
    answer(request, response, metrics, health).catch((thrown: unknown) => {
      log.warn({ err: messageOf(thrown) }, "metrics endpoint");
      response.destroy();
    });
  });
  server.maxConnections = maxConnections;
  server.headersTimeout = headersMs;
  server.requestTimeout = headersMs;
  server.setTimeout(idleMs);
  await listen(server, address);
  server.on("error", (error) => {
    log.warn({ err: error.message }, "metrics endpoint");
  });
  const url = urlOf(server);
  log.info({ url }, "metrics");
  return {
    url,
    async close() {
      const closed = new Promise<void>((resolve) => {
        server.close(() => {
          resolve();
        });
      });
      server.closeAllConnections();
      await closed;
    },
  };
}

async function answer(
  { method, url }: IncomingMessage,
  response: ServerResponse,
  metrics: Metrics,
  health: Health,
): Promise<void> {
  const say = (status: number, type: string, body: string): void => {
    const headers = { "content-type": type, "content-length": Buffer.byteLength(body), "cache-control": "no-store" };
    response.writeHead(status, headers).end(method === "HEAD" ? undefined : body);
  };
  const plain = "text/plain; charset=utf-8";
  if (method !== "GET" && method !== "HEAD") {
    say(405, plain, "only GET\n");
    return;
  }
  const path = url?.split("?")[0];
  if (path === "/metrics") {
    say(200, metrics.contentType, await metrics.text());
  } else if (path === "/healthz") {
    const trouble = health();
    say(trouble === undefined ? 200 : 503, plain, `${trouble ?? "ok"}\n`);
  } else {
    say(404, plain, "there are /metrics and /healthz\n");
  }
}

function listen(server: Server, { host, port }: EndpointAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    const refused = (cause: Error): void => {
      reject(
        new RuntimeError("unavailable", cause.message, { stage: "serve metrics", hint: "set metrics.address", cause }),
      );
    };
    server.once("error", refused);
    server.listen({ host, port }, () => {
      server.off("error", refused);
      resolve();
    });
  });
}

function urlOf(server: Server): string {
  const bound = server.address();
  if (typeof bound !== "object" || bound === null) throw new RuntimeError("unavailable", "metrics are not served");
  return `http://${isIPv6(bound.address) ? `[${bound.address}]` : bound.address}:${bound.port}`;
}
