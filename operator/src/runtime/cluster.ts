/** What the cluster has of A3sBoxes, kept up to date: a store for each kind, and agent-sandbox's where they are served. */
import type { KubeClient } from "../kube/client.js";
import { messageOf } from "../kube/error.js";
import { listAt, textAt, type JsonObject } from "../kube/json.js";
import { keyOf, kinds, sandboxVersions, type Kind } from "../kube/kinds.js";
import { hasEnded, sleep } from "../kube/limit.js";
import { ListWatch } from "../kube/list-watch.js";
import { Store } from "../kube/store.js";
import { boxLabel } from "../box/names.js";
import type { Log } from "./log.js";

const labelled = { labelSelector: boxLabel };
const always: readonly Kind[] = [kinds.box, kinds.pod, kinds.volumeClaim, kinds.networkPolicy, kinds.runtimeClass];
const ofSandboxes: readonly Kind[] = [kinds.sandbox, kinds.sandboxTemplate, kinds.warmPool, kinds.claim];
/** A pool's Sandboxes have no label of ours until one is claimed. */
const unlabelled: readonly Kind[] = [kinds.box, kinds.runtimeClass, kinds.sandbox];

export interface ClusterOptions {
  readonly client: KubeClient;
  readonly log: Log;
  readonly watchIdleMs: number;
  /** How often it is asked whether agent-sandbox has come or gone. */
  readonly discoveryMs: number;
  /** Told of each A3sBox that something has changed for. */
  readonly onBox: (key: string) => void;
  readonly onRestart: (kind: string, reason: string) => void;
}

/** The A3sBox that an object is of, by its label, or by the claim that has got it. */
export function boxKeyOf(object: JsonObject): string | undefined {
  const namespace = textAt(object, "metadata", "namespace") ?? "";
  const label = textAt(object, "metadata", "labels", boxLabel);
  const owner = listAt(object, "metadata", "ownerReferences").find((one) => textAt(one, "kind") === "SandboxClaim");
  const name = label ?? textAt(owner, "name");
  return name === undefined ? undefined : `${namespace}/${name}`;
}

export class Cluster {
  readonly #options: ClusterOptions;
  readonly #stores = new Map<Kind, Store>();
  readonly #running: Promise<void>[] = [];
  #sandboxesEnd: AbortController | undefined;
  #discovered = false;

  constructor(options: ClusterOptions) {
    this.#options = options;
  }

  get synced(): boolean {
    return this.#discovered && [...this.#stores.values()].every((store) => store.synced);
  }

  /** Whether agent-sandbox is served here. */
  get hasSandboxes(): boolean {
    return this.#sandboxesEnd !== undefined;
  }

  get(kind: Kind, key: string): JsonObject | undefined {
    return this.#stores.get(kind)?.get(key);
  }

  /** Those of one A3sBox. */
  of(kind: Kind, boxKey: string): readonly JsonObject[] {
    return this.#stores.get(kind)?.indexed(boxKey) ?? [];
  }

  *boxes(): IterableIterator<JsonObject> {
    yield* this.#stores.get(kinds.box)?.values() ?? [];
  }

  /** What the API server has answered to a write. */
  took(kind: Kind, object: JsonObject): void {
    this.#stores.get(kind)?.set(object);
  }

  /** Until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    for (const kind of always) this.#watch(kind, signal);
    while (!signal.aborted) {
      try {
        await this.#discover(signal);
      } catch (thrown) {
        if (!hasEnded(signal)) this.#options.log.warn("the API's groups can't be read", { error: messageOf(thrown) });
      }
      await sleep(this.#options.discoveryMs, signal);
    }
    this.#sandboxesEnd?.abort();
    await Promise.all(this.#running);
  }

  async #discover(signal: AbortSignal): Promise<void> {
    const answer = await this.#options.client.ask("GET", "/apis", { signal });
    const versions = listAt(answer, "groups").flatMap((one) => listAt(one, "versions"));
    const served = new Set(versions.map((one) => textAt(one, "groupVersion")));
    const isThere = sandboxVersions.every((name) => served.has(name));
    this.#discovered = true;
    if (isThere === this.hasSandboxes) return;
    this.#options.log.info("agent-sandbox has come or gone", { served: isThere });
    if (isThere) {
      this.#sandboxesEnd = new AbortController();
      for (const kind of ofSandboxes) this.#watch(kind, this.#sandboxesEnd.signal);
    } else {
      this.#sandboxesEnd?.abort();
      this.#sandboxesEnd = undefined;
      for (const kind of ofSandboxes) this.#stores.delete(kind);
    }
    this.#all();
  }

  #watch(kind: Kind, signal: AbortSignal): void {
    const { client, log, watchIdleMs } = this.#options;
    const onChange = (object: JsonObject): void => {
      this.#changed(kind, object);
    };
    const isOwned = kind !== kinds.box && kind !== kinds.runtimeClass;
    const store = new Store(isOwned ? { onChange, indexOf: boxKeyOf } : { onChange });
    this.#stores.set(kind, store);
    const watch = new ListWatch({
      ...{ client, kind, store, log, idleMs: watchIdleMs },
      ...(unlabelled.includes(kind) ? {} : { query: labelled }),
      onRestart: (why) => {
        this.#options.onRestart(kind.kind, why);
      },
    });
    this.#running.push(watch.run(signal));
  }

  #changed(kind: Kind, object: JsonObject): void {
    if (kind === kinds.runtimeClass) this.#all();
    const key = kind === kinds.box ? keyOf(object) : boxKeyOf(object);
    if (key !== undefined) this.#options.onBox(key);
  }

  #all(): void {
    for (const box of this.boxes()) this.#options.onBox(keyOf(box));
  }
}
