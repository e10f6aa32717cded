/** Events of an A3sBox: what has changed, for `kubectl describe`. They are news, so a lost one is no failure. */
import { randomBytes } from "node:crypto";
import type { KubeClient } from "../kube/client.js";
import { messageOf } from "../kube/error.js";
import { textAt, type JsonObject } from "../kube/json.js";
import { keyOf, kinds } from "../kube/kinds.js";
import type { Log } from "./log.js";

export interface News {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

/** Of one object: so many at once, then one in so long. */
const burst = 25;
const refillMs = 60_000;
const longestMessage = 1000;

export class EventRecorder {
  readonly #client: KubeClient;
  readonly #component: string;
  readonly #log: Log;
  readonly #budgets = new Map<string, { left: number; atMs: number }>();

  constructor(client: KubeClient, component: string, log: Log) {
    this.#client = client;
    this.#component = component;
    this.#log = log;
  }

  async record(about: JsonObject, { type, reason, message }: News): Promise<void> {
    const key = keyOf(about);
    if (!this.#spend(key)) return;
    const namespace = textAt(about, "metadata", "namespace") ?? "default";
    const name = textAt(about, "metadata", "name") ?? "";
    const now = new Date().toISOString().replace(/\.\d+Z$/, "Z");
    const { apiVersion, kind } = kinds.box;
    const uid = textAt(about, "metadata", "uid") ?? "";
    try {
      await this.#client.create(
        kinds.event,
        { namespace },
        {
          ...{ apiVersion: "v1", kind: "Event", type, reason, message: message.slice(0, longestMessage) },
          metadata: { namespace, name: `${name}.${randomBytes(8).toString("hex")}` },
          involvedObject: { apiVersion, kind, namespace, name, uid },
          ...{ firstTimestamp: now, lastTimestamp: now, count: 1, source: { component: this.#component } },
        },
      );
    } catch (thrown) {
      this.#log.warn("an event could not be written", { box: key, error: messageOf(thrown) });
    }
  }

  forget(key: string): void {
    this.#budgets.delete(key);
  }

  #spend(key: string): boolean {
    const nowMs = performance.now();
    const budget = this.#budgets.get(key) ?? { left: burst, atMs: nowMs };
    const left = Math.min(burst, budget.left + (nowMs - budget.atMs) / refillMs);
    this.#budgets.set(key, { left: left < 1 ? left : left - 1, atMs: nowMs });
    return left >= 1;
  }
}
