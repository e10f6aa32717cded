/** A node as the API server has it, and what of it says how far it is with this runtime. */
import * as z from "zod";
import { codeOf } from "../../base/errors.js";
import { callApi, type KubeApi } from "./kube-api.js";

/**
 * - `installing`: its first release is being put there.
 * - `installed`: the release is on the node and its daemon runs, and kubelet has another runtime.
 * - `active`: kubelet's runtime is this one.
 * - `failed`: it is not; `reasonAnnotation` says why.
 * - `removing`: it is to be taken away. `removed`: it has been.
 */
export const criStates = ["installing", "installed", "active", "failed", "removing", "removed"] as const;
export type CriState = (typeof criStates)[number];

export const criLabel = "a3s.dev/cri";
export const reasonAnnotation = "a3s.dev/cri-reason";
/** Of a node whose pods are this runtime's, in its status. */
const ownRuntime = "a3s-box://";

const nodeSchema = z.object({
  metadata: z.object({
    name: z.string(),
    resourceVersion: z.string(),
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

/** By labels, as kubectl takes them; those that this runtime has said something about have `criLabel`. */
export async function nodesWith(api: KubeApi, labels: string, signal: AbortSignal): Promise<readonly NodeObject[]> {
  const path = `/api/v1/nodes?labelSelector=${encodeURIComponent(labels)}`;
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

/**
 * Of a node that nothing was said about; false, and nothing is written, where the node is not as it was read. A pod that begins on
 * it and an uninstall both write first and act then: one of them sees the other.
 */
export async function tellFirst(
  api: KubeApi,
  { metadata: { name, resourceVersion } }: NodeObject,
  state: CriState,
  signal: AbortSignal,
): Promise<boolean> {
  const metadata = { resourceVersion, labels: { [criLabel]: state } };
  try {
    await callApi(api, { method: "PATCH", path: nodePath(name), body: { metadata } }, signal);
    return true;
  } catch (thrown) {
    if (codeOf(thrown) === "failedPrecondition") return false;
    throw thrown;
  }
}

function nodePath(name: string): string {
  return `/api/v1/nodes/${encodeURIComponent(name)}`;
}
