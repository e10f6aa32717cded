/** What the operator tells of itself, and the port at which it does. */
import { createServer, type Server } from "node:http";
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";

export interface Metrics {
  readonly registry: Registry;
  readonly reconciles: Counter<"result">;
  readonly reconcileSeconds: Histogram;
  readonly writes: Counter<"kind" | "verb">;
  readonly watchRestarts: Counter<"kind" | "reason">;
  readonly leader: Gauge;
}

export interface Gauges {
  /** Keys that are due or worked on. */
  readonly queueDepth: () => number;
  /** A3sBoxes by the reason of their condition Ready. */
  readonly boxes: () => ReadonlyMap<string, number>;
}

export function createMetrics({ queueDepth, boxes }: Gauges): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const own = { registers: [registry] };
  new Gauge({
    ...{ name: "a3s_box_operator_queue_depth", help: "A3sBoxes that are due to be reconciled, or being so", ...own },
    collect() {
      this.set(queueDepth());
    },
  });
  new Gauge({
    ...{ name: "a3s_box_operator_boxes", help: "A3sBoxes by the reason of their condition Ready" },
    ...{ labelNames: ["reason"], ...own },
    collect() {
      this.reset();
      for (const [reason, count] of boxes()) this.set({ reason }, count);
    },
  });
  return {
    registry,
    reconciles: new Counter({
      ...{ name: "a3s_box_operator_reconciles_total", help: "Looks at an A3sBox, by what came of it" },
      ...{ labelNames: ["result"], ...own },
    }),
    reconcileSeconds: new Histogram({
      ...{ name: "a3s_box_operator_reconcile_seconds", help: "How long a look at an A3sBox takes" },
      ...{ buckets: [0.005, 0.02, 0.1, 0.5, 2, 10], ...own },
    }),
    writes: new Counter({
      ...{ name: "a3s_box_operator_writes_total", help: "Objects that were applied, created or removed" },
      ...{ labelNames: ["kind", "verb"], ...own },
    }),
    watchRestarts: new Counter({
      ...{ name: "a3s_box_operator_watch_restarts_total", help: "Watches that were begun again after an error" },
      ...{ labelNames: ["kind", "reason"], ...own },
    }),
    leader: new Gauge({ name: "a3s_box_operator_leader", help: "1 while this operator leads", ...own }),
  };
}

export interface Health {
  /** Undefined when all is well, else what is not. */
  readonly healthy: () => string | undefined;
  readonly ready: () => string | undefined;
}

/** `/metrics`, `/healthz` and `/readyz`. Resolves when it listens. */
export async function serveMetrics(port: number, registry: Registry, health: Health): Promise<Server> {
  const server = createServer((request, response) => {
    const answer = (status: number, text: string, type = "text/plain; charset=utf-8"): void => {
      response.writeHead(status, { "content-type": type }).end(text);
    };
    const state = (trouble: string | undefined): void => {
      answer(trouble === undefined ? 200 : 503, trouble ?? "ok");
    };
    const path = (request.url ?? "").split("?")[0];
    if (path === "/healthz") state(health.healthy());
    else if (path === "/readyz") state(health.ready());
    else if (path !== "/metrics") answer(404, "here are /metrics, /healthz and /readyz");
    else {
      registry.metrics().then(
        (text) => {
          answer(200, text, registry.contentType);
        },
        () => {
          answer(500, "the metrics can't be read");
        },
      );
    }
  });
  server.requestTimeout = 10_000;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, resolve);
  });
  return server;
}
