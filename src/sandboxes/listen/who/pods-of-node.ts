import type { OwnerPod } from "../../core/caller.js";
import type { SandboxStore } from "../../../runtime/pod/sandbox-store.js";

/** The pods of this node, by what a control group says of a process in one. */
export interface PodsOfNode {
  /** kubelet's uid of it. */
  byUid(uid: string): OwnerPod | undefined;
  /** The id of its Box. */
  byBox(id: string): OwnerPod | undefined;
}

/** Those of this runtime. */
export function podsOfRuntime(pods: Pick<SandboxStore, "all">): PodsOfNode {
  const podWhere = (is: (pod: ReturnType<SandboxStore["all"]>[number]) => boolean): OwnerPod | undefined => {
    const spec = pods.all().find(is)?.spec;
    return spec === undefined ? undefined : { namespace: spec.namespace, name: spec.name, uid: spec.uid };
  };
  return {
    byUid: (uid) => podWhere(({ spec }) => spec.uid === uid),
    byBox: (id) => podWhere((pod) => pod.id === id),
  };
}
