/** `node leave`: what the chart's uninstall waits for, in mode cri: every node has given the release up. */
import { monotonicMs } from "../../base/clock.js";
import { RuntimeError } from "../../base/errors.js";
import { sleep } from "../../base/stage.js";
import { exitStatus, parseFlags, print, usageError } from "../command.js";
import { callApi, clusterApi, type KubeApi } from "./kube-api.js";
import { criStateOf, isInUse, labelledNodes, tellState, type NodeObject } from "./node-object.js";

const pollMs = 1_000;

export interface LeaveOptions {
  /** Of the pods that keep the release on nodes: it goes before the labels, which it would write again. */
  readonly daemonSet: { readonly namespace: string; readonly name: string };
  readonly limitMs: number;
}

export async function nodeLeave(args: string[]): Promise<number> {
  const text = { type: "string" } as const;
  const options = { daemonset: text, limit: { ...text, default: "300" } } as const;
  const { values } = parseFlags({ args, options });
  const [, namespace = "", name = ""] = /^([a-z0-9-]+)\/([a-z0-9.-]+)$/.exec(values.daemonset ?? "") ?? [];
  if (name === "") throw usageError("--daemonset wants NAMESPACE/NAME");
  const limitMs = Number(values.limit) * 1000;
  if (!(limitMs > 0)) throw usageError("--limit wants seconds");
  const left = await leave(clusterApi(), { daemonSet: { namespace, name }, limitMs }, new AbortController().signal);
  print(`${left.length === 0 ? "No node had it" : `Taken away from ${left.join(", ")}`}.\n`);
  return exitStatus.ok;
}

/** Answers the nodes that had it. Nothing has changed where one of them still uses it: then it throws, and names them. */
export async function leave(
  api: KubeApi,
  { daemonSet, limitMs }: LeaveOptions,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const nodes = await labelledNodes(api, signal);
  refuseUsed(nodes);
  for (const node of nodes) {
    if (criStateOf(node) !== "removed") await tellState(api, node, "removing", undefined, signal);
  }
  const endMs = monotonicMs() + limitMs;
  for (;;) {
    const now = await labelledNodes(api, signal);
    refuseUsed(now);
    const waiting = now.filter((node) => criStateOf(node) !== "removed").map(nameOf);
    if (waiting.length === 0) break;
    if (monotonicMs() > endMs) {
      throw new RuntimeError("deadlineExceeded", `${waiting.join(", ")}: still to give the release up`, {
        hint: "the chart's pod there has the reason in its log; for a node that is no more: kubectl label node NAME a3s.dev/cri-",
      });
    }
    await sleep(pollMs, signal);
  }
  const path = `/apis/apps/v1/namespaces/${daemonSet.namespace}/daemonsets/${daemonSet.name}`;
  await callApi(api, { method: "DELETE", path }, signal).catch((thrown: unknown) => {
    if (!(thrown instanceof RuntimeError) || thrown.code !== "notFound") throw thrown;
  });
  for (const node of await labelledNodes(api, signal)) await tellState(api, node, undefined, undefined, signal);
  return nodes.map(nameOf);
}

function refuseUsed(nodes: readonly NodeObject[]): void {
  const used = nodes.filter(isInUse).map(nameOf);
  if (used.length === 0) return;
  throw new RuntimeError("failedPrecondition", `${used.join(", ")}: kubelet's runtime is this one`, {
    hint: "drain each, give its kubelet another runtime, restart it; then uninstall again",
  });
}

function nameOf({ metadata }: NodeObject): string {
  return metadata.name;
}
