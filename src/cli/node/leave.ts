/** `node leave`: what the chart's uninstall waits for, in mode cri: every node has given the release up. */
import { monotonicMs } from "../../base/clock.js";
import { codeOf, RuntimeError } from "../../base/errors.js";
import { sleep } from "../../base/stage.js";
import { exitStatus, parseFlags, print, usageError } from "../command.js";
import { callApi, clusterApi, type KubeApi } from "./kube-api.js";
import { criLabel, criStateOf, isInUse, nodesWith, tellFirst, tellState, type NodeObject } from "./node-object.js";

const pollMs = 1_000;
/** For the pods' own end. One that takes longer is on a node that does not answer. */
const podsLimitMs = 45_000;

export interface LeaveOptions {
  /** Of the pods that keep the release on nodes: it goes before the labels, which it would write again. */
  readonly daemonSet: { readonly namespace: string; readonly name: string };
  /** Labels of the nodes that it selects. On one that it has said nothing about its pod may be about to begin. */
  readonly nodes: string;
  readonly limitMs: number;
  /** Told what is waited for. */
  readonly say: (line: string) => void;
}

export async function nodeLeave(args: string[]): Promise<number> {
  const text = { type: "string" } as const;
  const options = { daemonset: text, nodes: text, limit: { ...text, default: "300" } } as const;
  const { values } = parseFlags({ args, options });
  const [, namespace = "", name = ""] = /^([a-z0-9-]+)\/([a-z0-9.-]+)$/.exec(values.daemonset ?? "") ?? [];
  if (name === "") throw usageError("--daemonset wants NAMESPACE/NAME");
  const { nodes } = values;
  if (nodes === undefined) throw usageError("--nodes wants the labels of nodes that have its pods: KEY=VALUE,…");
  const limitMs = Number(values.limit) * 1000;
  if (!(limitMs > 0)) throw usageError("--limit wants seconds");
  const say = (line: string): void => {
    print(`${line}\n`);
  };
  const wish = { daemonSet: { namespace, name }, nodes, limitMs, say };
  const left = await leave(clusterApi(), wish, new AbortController().signal);
  say(`${left.length === 0 ? "No node had it" : `Taken away from ${left.join(", ")}`}.`);
  return exitStatus.ok;
}

/** Answers the nodes that had it. Nothing has changed where one of them still uses it: then it throws, and names them. */
export async function leave(api: KubeApi, options: LeaveOptions, signal: AbortSignal): Promise<readonly string[]> {
  const had = await untilGivenUp(api, options, signal);
  await endPods(api, options, signal);
  const nodes = await nodesWith(api, criLabel, signal);
  for (const node of nodes.filter(hasGivenUp)) await tellState(api, node, undefined, undefined, signal);
  // One that came into the cluster after all others had been asked.
  const late = nodes.filter((node) => !hasGivenUp(node)).map(nameOf);
  if (late.length > 0) {
    throw new RuntimeError("failedPrecondition", `${late.join(", ")}: came while the others gave the release up`, {
      hint: "helm upgrade brings the chart's pods back; then uninstall again",
    });
  }
  return had;
}

async function untilGivenUp(
  api: KubeApi,
  { nodes: selected, limitMs, say }: LeaveOptions,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const had = new Set<string>();
  const endMs = monotonicMs() + limitMs;
  for (;;) {
    const nodes = await nodesOf(api, selected, signal);
    refuseUsed(nodes);
    const waiting = nodes.filter((node) => !hasGivenUp(node));
    if (waiting.length === 0) return [...had];
    for (const node of waiting) await ask(api, node, had, say, signal);
    if (monotonicMs() > endMs) {
      throw new RuntimeError("deadlineExceeded", `${waiting.map(nameOf).join(", ")}: still to give the release up`, {
        hint: "the chart's pod there has the reason in its log; for a node that is no more: kubectl label node NAME a3s.dev/cri-",
      });
    }
    await sleep(pollMs, signal);
  }
}

/** Each once, those with its label and those that its pods are for. */
async function nodesOf(api: KubeApi, selected: string, signal: AbortSignal): Promise<readonly NodeObject[]> {
  const found = [...(await nodesWith(api, criLabel, signal)), ...(await nodesWith(api, selected, signal))];
  return [...new Map(found.map((node) => [nameOf(node), node])).values()];
}

/** Where a pod has said nothing yet it is not let begin, unless it has just begun: the next look asks for that. */
async function ask(
  api: KubeApi,
  node: NodeObject,
  had: Set<string>,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const state = criStateOf(node);
  const name = nameOf(node);
  if (state === undefined) {
    await tellFirst(api, node, "removed", signal);
    return;
  }
  if (!had.has(name)) say(`${name} (${state}) is asked to give it up${state === "installing" ? ", half-way" : ""}.`);
  had.add(name);
  await tellState(api, node, "removing", undefined, signal);
}

/** A pod that still runs would take a node without a label for a new one. */
async function endPods(api: KubeApi, { daemonSet, say }: LeaveOptions, signal: AbortSignal): Promise<void> {
  const path = `/apis/apps/v1/namespaces/${daemonSet.namespace}/daemonsets/${daemonSet.name}`;
  const isThere = async (method: "GET" | "DELETE", query = ""): Promise<boolean> => {
    try {
      await callApi(api, { method, path: `${path}${query}` }, signal);
      return true;
    } catch (thrown) {
      if (codeOf(thrown) === "notFound") return false;
      throw thrown;
    }
  };
  // In the foreground: it is there for as long as one of its pods is.
  const endMs = monotonicMs() + podsLimitMs;
  let waits = await isThere("DELETE", "?propagationPolicy=Foreground");
  while (waits && monotonicMs() < endMs) {
    await sleep(pollMs, signal);
    waits = await isThere("GET");
  }
  if (waits)
    say(`Not all pods of ${daemonSet.name} have ended in ${String(podsLimitMs / 1000)} s: it goes on without.`);
}

function refuseUsed(nodes: readonly NodeObject[]): void {
  const used = nodes.filter(isInUse).map(nameOf);
  if (used.length === 0) return;
  throw new RuntimeError("failedPrecondition", `${used.join(", ")}: kubelet's runtime is this one`, {
    hint: "drain each, give its kubelet another runtime, restart it; then uninstall again",
  });
}

function hasGivenUp(node: NodeObject): boolean {
  return criStateOf(node) === "removed";
}

function nameOf({ metadata }: NodeObject): string {
  return metadata.name;
}
