/** What there is of an A3sBox now. */
import { isObject, listAt, textAt, type JsonObject } from "../kube/json.js";
import { keyOf, kinds } from "../kube/kinds.js";
import type { Cluster } from "../runtime/cluster.js";
import { nodeOf } from "./pod-facts.js";
import type { BoxSpec, Engine } from "./spec.js";
import { isOf } from "./writer.js";

type Known = Pick<Cluster, "get" | "of">;

export interface Live {
  /** The one that the agent is in. */
  readonly pod: JsonObject | undefined;
  /** A Sandbox, or a claim and what it has got: whose conditions are mirrored. */
  readonly runner: JsonObject | undefined;
  /** What the claim has got. */
  readonly claimed: JsonObject | undefined;
  /** A pod of it is on a node, the agent's or one of its pool. */
  readonly isOnNode: boolean;
}

/** Those of it, and of agent-sandbox's for it. Whoever makes pods may give them its label: such are somebody else's. */
export function podsOf(cluster: Known, box: JsonObject): readonly JsonObject[] {
  return cluster.of(kinds.pod, keyOf(box)).filter((pod) => isOf(pod, box) || ownerSandbox(pod) !== undefined);
}

export function liveOf(cluster: Known, box: JsonObject, spec: BoxSpec, engine: Engine | undefined): Live {
  const key = keyOf(box);
  const pods = podsOf(cluster, box);
  const isOnNode = pods.some((pod) => nodeOf(pod) !== undefined);
  const named = pods.find((pod) => keyOf(pod) === key);
  if (engine !== "AgentSandbox") return { pod: named, runner: undefined, claimed: undefined, isOnNode };
  const sandbox = cluster.get(kinds.sandbox, key);
  if (spec.pool === undefined)
    return { pod: named ?? podOfSandbox(pods, key), runner: sandbox, claimed: undefined, isOnNode };
  const claim = cluster.get(kinds.claim, key);
  const got = textAt(claim, "status", "sandbox", "name");
  const space = key.slice(0, key.indexOf("/"));
  const claimed = got === undefined ? undefined : cluster.get(kinds.sandbox, `${space}/${got}`);
  const pod = got === undefined ? undefined : podOfSandbox(pods, `${space}/${got}`);
  return { pod, claimed, runner: claim === undefined ? undefined : merged(claim, claimed), isOnNode };
}

function podOfSandbox(pods: readonly JsonObject[], sandboxKey: string): JsonObject | undefined {
  const name = sandboxKey.slice(sandboxKey.indexOf("/") + 1);
  return pods.find((pod) => keyOf(pod) === sandboxKey || ownerSandbox(pod) === name);
}

function ownerSandbox(pod: JsonObject): string | undefined {
  const owner = listAt(pod, "metadata", "ownerReferences").find((one) => textAt(one, "kind") === "Sandbox");
  return textAt(owner, "name");
}

/** The claim's own conditions before those of its Sandbox. */
function merged(claim: JsonObject, claimed: JsonObject | undefined): JsonObject {
  const own = listAt(claim, "status", "conditions").filter(isObject);
  const types = new Set(own.map((one) => textAt(one, "type")));
  const more = listAt(claimed, "status", "conditions").filter((one) => !types.has(textAt(one, "type")));
  return { ...claim, status: { conditions: [...own, ...more] } };
}
