/**
 * One of several operators leads, by a Lease that is replaced only as it was read. Whose clock is wrong does not matter: a lease
 * has run out when it was seen unchanged for its whole time.
 */
import type { KubeClient } from "../kube/client.js";
import { isReason, messageOf } from "../kube/error.js";
import { numberAt, objectAt, textAt, type JsonObject } from "../kube/json.js";
import { kinds } from "../kube/kinds.js";
import { hasEnded, sleep, withLimit } from "../kube/limit.js";
import type { Log } from "./log.js";

export interface ElectionOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly name: string;
  /** Who we are; no other has it. */
  readonly identity: string;
  readonly leaseSeconds: number;
  readonly log: Log;
}

export class Election {
  readonly #options: ElectionOptions;
  readonly #renewMs: number;
  /** The lease as it was last seen, and since when it is so. */
  #seen: { readonly version: string; readonly sinceMs: number } | undefined;
  /** When the API server has last said anything of it. */
  #heardMs = -Infinity;
  /** When it was asked for what has made it ours: others count from when they saw that, which is later. */
  #heldMs = -Infinity;

  constructor(options: ElectionOptions) {
    this.#options = options;
    this.#renewMs = (options.leaseSeconds * 1000) / 5;
  }

  /** Whether it would notice that there is no leader. */
  get isInTouch(): boolean {
    return performance.now() - this.#heardMs < this.#options.leaseSeconds * 1000;
  }

  /** For how long it is ours without being renewed: less than others wait. */
  get leftMs(): number {
    return Math.max(0, this.#heldMs + (this.#options.leaseSeconds * 1000 * 3) / 4 - performance.now());
  }

  /** Waits until it is ours; false when the signal has ended that. */
  async acquire(signal: AbortSignal): Promise<boolean> {
    while (!signal.aborted) {
      try {
        if (await this.#tryToHold(signal)) return true;
      } catch (thrown) {
        if (!hasEnded(signal)) this.#options.log.warn("the lease can't be had", { error: messageOf(thrown) });
      }
      await sleep(this.#renewMs * (0.8 + Math.random() * 0.4), signal);
    }
    return false;
  }

  /** Keeps it until the signal aborts; resolves before that when it was lost. */
  async keep(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await sleep(Math.min(this.#renewMs, this.leftMs), signal);
      // A try that nobody answers ends before others may take it, too.
      const leftMs = this.leftMs;
      if (hasEnded(signal) || leftMs === 0) return;
      try {
        if (!(await withLimit(leftMs, [signal], async (limited) => await this.#tryToHold(limited)))) return;
      } catch (thrown) {
        if (!hasEnded(signal)) this.#options.log.warn("the lease could not be renewed", { error: messageOf(thrown) });
      }
    }
  }

  /** So that the next one need not wait. */
  async release(): Promise<void> {
    const { client, namespace, name, identity } = this.#options;
    const lease = await client.get(kinds.lease, { namespace, name }, { limitMs: 2000 });
    if (textAt(lease, "spec", "holderIdentity") !== identity) return;
    await client.replace(kinds.lease, { namespace, name }, this.#mine({ ...lease }, ""), { limitMs: 2000 });
  }

  async #tryToHold(signal: AbortSignal): Promise<boolean> {
    const { client, namespace, name, identity, leaseSeconds } = this.#options;
    const limits = { limitMs: this.#renewMs, signal };
    let lease: JsonObject;
    try {
      lease = await client.get(kinds.lease, { namespace, name }, limits);
    } catch (thrown) {
      if (!isReason(thrown, "NotFound")) throw thrown;
      const wanted = this.#mine({ metadata: { namespace, name } }, identity);
      return await this.#hold(async () => await client.create(kinds.lease, { namespace }, wanted, limits));
    }
    this.#heardMs = performance.now();
    const holder = textAt(lease, "spec", "holderIdentity") ?? "";
    const version = textAt(lease, "metadata", "resourceVersion") ?? "";
    if (this.#seen?.version !== version) this.#seen = { version, sinceMs: performance.now() };
    const theirsMs = (numberAt(lease, "spec", "leaseDurationSeconds") ?? leaseSeconds) * 1000;
    const isOver = performance.now() - this.#seen.sinceMs > theirsMs;
    if (holder !== "" && holder !== identity && !isOver) return false;
    try {
      const wanted = this.#mine(lease, identity);
      return await this.#hold(async () => await client.replace(kinds.lease, { namespace, name }, wanted, limits));
    } catch (thrown) {
      if (isReason(thrown, "Conflict")) return false;
      throw thrown;
    }
  }

  async #hold(write: () => Promise<JsonObject>): Promise<true> {
    const askedMs = performance.now();
    await write();
    this.#heldMs = askedMs;
    return true;
  }

  #mine(lease: JsonObject, holderIdentity: string): JsonObject {
    const now = new Date().toISOString().replace(/Z$/, "000Z");
    const { apiVersion, kind } = kinds.lease;
    const spec = objectAt(lease, "spec") ?? {};
    const taken = textAt(spec, "holderIdentity") !== holderIdentity;
    const transitions = numberAt(spec, "leaseTransitions") ?? 0;
    return {
      ...{ apiVersion, kind, metadata: objectAt(lease, "metadata") },
      spec: {
        ...{ holderIdentity, leaseDurationSeconds: this.#options.leaseSeconds, renewTime: now },
        acquireTime: taken ? now : (textAt(spec, "acquireTime") ?? now),
        leaseTransitions: taken && holderIdentity !== "" ? transitions + 1 : transitions,
      },
    };
  }
}
