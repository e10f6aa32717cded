/** One look at an A3sBox: what is wanted, what there is, what is to be done, and what is told of it. */
import type { KubeClient } from "../kube/client.js";
import { KubeError } from "../kube/error.js";
import { canonical, objectAt, textAt, textsAt, type JsonObject } from "../kube/json.js";
import { kindOf, kinds, placeOf, type Kind } from "../kube/kinds.js";
import type { Cluster } from "../runtime/cluster.js";
import type { EventRecorder } from "../runtime/events.js";
import { conditionsOf, isOver, newsOf, statusOf, wasFinished, type Facts, type Problem } from "./conditions.js";
import { liveOf, podsOf, type Live } from "./live.js";
import { finalizer, hashAnnotation, identityOf } from "./names.js";
import { isDeleting, nodeOf, phaseOf } from "./pod-facts.js";
import { podHash, type PodOptions } from "./render-pod.js";
import { renderClaimedMode, renderNetworkPolicy, renderRunner, renderWorkspace } from "./render-objects.js";
import { chooseEngine, Resolver, type Resolution } from "./resolve.js";
import { readSpec, type BoxSpec, type Engine } from "./spec.js";
import { isOf, type Writer } from "./writer.js";

const runners: readonly Kind[] = [kinds.pod, kinds.claim, kinds.warmPool, kinds.sandboxTemplate, kinds.sandbox];
/** What an API server says of what is asked of it, and not of itself. */
const refusals = new Set(["Forbidden", "Invalid", "NameTaken", "AlreadyExists", "BadRequest"]);
const firstMissingMs = 1000;
const longestMissingMs = 15_000;

export interface ReconcilerOptions {
  readonly client: KubeClient;
  readonly cluster: Cluster;
  readonly writer: Writer;
  readonly events: EventRecorder;
  readonly pods: PodOptions;
}

/** When it is to be looked at again, whatever happens: undefined for never. */
export interface Next {
  readonly afterMs?: number;
  /** As a failure. */
  readonly retry?: true;
}

interface Look {
  readonly box: JsonObject;
  readonly key: string;
  readonly spec: BoxSpec;
  readonly engine: Engine | undefined;
  readonly resolution: Resolution;
  readonly nowMs: number;
}

export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #resolver: Resolver;
  /** What was missing or broken, and how often in a row. */
  readonly #missing = new Map<string, { readonly what: string; readonly times: number }>();

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#resolver = new Resolver(options.client, options.cluster, options.pods);
  }

  async reconcile(key: string): Promise<Next> {
    const { cluster, events } = this.#options;
    const box = cluster.get(kinds.box, key);
    if (box === undefined) {
      this.#missing.delete(key);
      events.forget(key);
      return {};
    }
    if (isDeleting(box)) return await this.#end(box, key);
    const look = await this.#look(box, key);
    let refusal: Problem | undefined;
    let replacing = false;
    try {
      replacing = await this.#act(look);
    } catch (thrown) {
      if (!(thrown instanceof KubeError) || !refusals.has(thrown.reason)) throw thrown;
      refusal = { reason: thrown.reason === "NameTaken" ? "NameTaken" : "Refused", message: thrown.message };
    }
    await this.#tell(look, refusal, replacing);
    return this.#next(look, refusal);
  }

  async #look(box: JsonObject, key: string): Promise<Look> {
    const { cluster } = this.#options;
    const spec = readSpec(box);
    const chosen = chooseEngine(spec, textAt(box, "status", "engine"), cluster.hasSandboxes);
    const engine = typeof chosen === "string" ? chosen : undefined;
    const found = await this.#resolver.resolve(spec, placeOf(key).namespace);
    const problems = typeof chosen === "string" ? found.problems : [chosen, ...found.problems];
    return { box, key, spec, engine, resolution: { ...found, problems }, nowMs: Date.now() };
  }

  /** Answers whether its pod makes room for another. */
  async #act(look: Look): Promise<boolean> {
    const { writer, cluster } = this.#options;
    const { box, key, spec, engine } = look;
    const identity = identityOf(box);
    const workspace = renderWorkspace(identity, spec);
    if (workspace !== undefined) await writer.apply(box, workspace);
    const policy = renderNetworkPolicy(identity, spec);
    const livePolicy = cluster.get(kinds.networkPolicy, key);
    if (policy !== undefined) await writer.apply(box, policy);
    else if (livePolicy !== undefined && isOf(livePolicy, box)) await writer.remove(kinds.networkPolicy, livePolicy);
    if (engine === undefined) return false;
    const live = liveOf(cluster, box, spec, engine);
    const replacing = engine === "Pod" ? await this.#actPod(look, live) : await this.#actSandbox(look, live);
    await this.#finalizer(box, liveOf(cluster, box, spec, engine).isOnNode);
    return replacing;
  }

  async #actPod(look: Look, { pod }: Live): Promise<boolean> {
    const { box, spec, resolution, nowMs } = look;
    const { writer, pods } = this.#options;
    await this.#prune(look, [kinds.pod]);
    if (spec.suspended || isOver(spec, nowMs)) {
      if (pod !== undefined && !isDeleting(pod)) await writer.remove(kinds.pod, pod);
      return false;
    }
    if (pod === undefined) {
      if (resolution.problems.length > 0 || wasFinished(box)) return false;
      for (const object of this.#rendered(look, "Pod")) await writer.apply(box, object);
      return false;
    }
    if (isDeleting(pod)) return !wasFinished(box);
    const isOther = textAt(pod, "metadata", "annotations", hashAnnotation) !== podHash(spec, pods);
    // A pod that waits for people has no end of its own: the node has ended it.
    const isLost = spec.codingAgent?.prompt === undefined && ["Failed", "Succeeded"].includes(phaseOf(pod));
    if ((!isOther && !isLost) || resolution.problems.length > 0) return false;
    await writer.remove(kinds.pod, pod);
    return true;
  }

  async #actSandbox(look: Look, live: Live): Promise<boolean> {
    const { box, spec, resolution, nowMs } = look;
    const { writer } = this.#options;
    const objects = this.#rendered(look, "AgentSandbox");
    await this.#prune(look, objects.map(kindOf));
    const mayStart = !spec.suspended && !isOver(spec, nowMs);
    // A pod of it, or one more of its pool, would start without what is missing.
    if (resolution.problems.length > 0 && (mayStart || live.runner === undefined)) return false;
    for (const object of objects) await writer.apply(box, object);
    const { claimed } = live;
    if (claimed === undefined) return false;
    const isSuspended = textAt(claimed, "spec", "operatingMode") === "Suspended";
    if (isSuspended !== spec.suspended) await writer.patch(box, renderClaimedMode(claimed, spec));
    return false;
  }

  #rendered({ box, spec, resolution }: Look, engine: Engine): readonly JsonObject[] {
    return renderRunner(identityOf(box), spec, { engine, keys: resolution.keys, options: this.#options.pods });
  }

  /** What another engine has made. */
  async #prune({ box, key }: Pick<Look, "box" | "key">, wanted: readonly Kind[]): Promise<void> {
    const { cluster, writer } = this.#options;
    for (const kind of runners.filter((one) => !wanted.includes(one))) {
      const object = cluster.get(kind, key);
      if (object !== undefined && isOf(object, box) && !isDeleting(object)) await writer.remove(kind, object);
    }
  }

  async #finalizer(box: JsonObject, wanted: boolean): Promise<void> {
    const has = textsAt(box, "metadata", "finalizers").includes(finalizer);
    if (has === wanted) return;
    const { apiVersion, kind } = kinds.box;
    const finalizers = wanted ? { finalizers: [finalizer] } : {};
    const metadata = { ...identityOf(box), ...finalizers };
    await this.#options.writer.patch(box, { apiVersion, kind, metadata });
  }

  /** It is gone when nothing of it is on a node. */
  async #end(box: JsonObject, key: string): Promise<Next> {
    const { cluster } = this.#options;
    await this.#prune({ box, key }, []);
    if (podsOf(cluster, box).some((pod) => nodeOf(pod) !== undefined)) {
      const spec = readSpec(box);
      const resolution = { problems: [], broken: [], keys: new Map<string, readonly string[]>() };
      await this.#tell({ box, key, spec, engine: undefined, resolution, nowMs: Date.now() }, undefined, false);
    } else await this.#finalizer(box, false);
    return {};
  }

  async #tell(look: Look, refusal: Problem | undefined, replacing: boolean): Promise<void> {
    const { cluster, writer, events } = this.#options;
    const { key, spec, engine, resolution, nowMs } = look;
    // With what has been written meanwhile: a finalizer is another version of it.
    const box = cluster.get(kinds.box, key) ?? look.box;
    const { pod, runner } = liveOf(cluster, box, spec, engine);
    const { problems, broken } = resolution;
    const facts: Facts = { box, spec, nowMs, engine, refusal, pod, runner, replacing, problems, broken };
    const conditions = conditionsOf(facts);
    const status = statusOf(facts, conditions);
    if (canonical(status) === canonical(objectAt(box, "status"))) return;
    const { apiVersion, kind } = kinds.box;
    await writer.patch(box, { apiVersion, kind, metadata: { ...identityOf(box) }, status }, "status");
    for (const news of newsOf(box, conditions)) await events.record(box, news);
  }

  #next({ key, spec, nowMs, resolution }: Look, refusal: Problem | undefined): Next {
    if (refusal !== undefined) return { retry: true };
    const what = [...resolution.problems.map(({ message }) => message), ...resolution.broken].join();
    const before = this.#missing.get(key);
    const times = before?.what === what ? before.times + 1 : 0;
    if (what === "") this.#missing.delete(key);
    else this.#missing.set(key, { what, times });
    const waits = [
      ...(what === "" ? [] : [Math.min(firstMissingMs * 2 ** times, longestMissingMs)]),
      ...(spec.shutdownMs === undefined || isOver(spec, nowMs) ? [] : [spec.shutdownMs - nowMs + 10]),
    ];
    return waits.length === 0 ? {} : { afterMs: Math.min(...waits) };
  }
}
