/** A node as the API server has it, and what of it says how far it is with this runtime. */
import * as z from "zod";
import { callApi, type KubeApi } from "./kube-api.js";

/**
 * - `installed`: the release is on the node and its daemon runs, and kubelet has another runtime.
 * - `active`: kubelet's runtime is this one.
 * - `failed`: it is not; `reasonAnnotation` says why.
 * - `removing`: it is to be taken away. `removed`: it has been.
 */
export const criStates = ["installed", "active", "failed", "removing", "removed"] as const;
export type CriState = (typeof criStates)[number];

export const criLabel = "a3s.dev/cri";
export const reasonAnnotation = "a3s.dev/cri-reason";
/** Of a node whose pods are this runtime's, in its status. */
const ownRuntime = "a3s-box://";

const nodeSchema = z.object({
  metadata: z.object({
    name: z.string(),
    labels: z.record(z.string(), z.string()).default({}),
    annotations: z.record(z.string(), z.string()).default({}),
  }),
  status: z.object({ nodeInfo: z.object({ containerRuntimeVersion: z.string() }) }),
});
const listSchema = z.object({ items: z.array(nodeSchema) });
export type NodeObject = z.infer<typeof nodeSchema>;

export function isInUse({ status }: NodeObject): boolean {
  return status.nodeInfo.containerRuntimeVersion.startsWith(ownRuntime);
}

/** Undefined for one that this runtime has said nothing about, or somebody else something. */
export function criStateOf({ metadata }: NodeObject): CriState | undefined {
  const said = metadata.labels[criLabel];
  return criStates.find((state) => state === said);
}

export async function readNode(api: KubeApi, name: string, signal: AbortSignal): Promise<NodeObject> {
  return nodeSchema.parse(await callApi(api, { method: "GET", path: nodePath(name) }, signal));
}

/** Those that this runtime has said something about. */
export async function labelledNodes(api: KubeApi, signal: AbortSignal): Promise<readonly NodeObject[]> {
  const path = `/api/v1/nodes?labelSelector=${encodeURIComponent(criLabel)}`;
  return listSchema.parse(await callApi(api, { method: "GET", path }, signal)).items;
}

/** Label and reason; undefined takes both away. Nothing is written where it says that already. */
export async function tellState(
  api: KubeApi,
  node: NodeObject,
  state: CriState | undefined,
  reason: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  const { labels, annotations, name } = node.metadata;
  if (labels[criLabel] === state && annotations[reasonAnnotation] === reason) return;
  const metadata = {
    labels: { [criLabel]: state ?? null },
    annotations: { [reasonAnnotation]: reason ?? null },
  };
  await callApi(api, { method: "PATCH", path: nodePath(name), body: { metadata } }, signal);
}

function nodePath(name: string): string {
  return `/api/v1/nodes/${encodeURIComponent(name)}`;
}
