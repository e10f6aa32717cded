import type { KubeletConfig } from "../../../config/sandboxes-listen.js";
import type { OwnerPod } from "../../core/caller.js";
import { KubeletPods } from "./kubelet-pods.js";
import type { PodStore } from "../../../runtime/pod/pod-store.js";

/** The pods of this node, by what a control group says of a process in one. */
export interface PodsOfNode {
  /** kubelet's uid of it. */
  byUid(uid: string): OwnerPod | undefined;
  /** The id of its Box. */
  byBox(id: string): OwnerPod | undefined;
  /** A pod that another runtime runs. Absent: nobody is asked about those. `unavailable`: who is has not answered. */
  readonly ofOthers?: (uid: string) => Promise<OwnerPod | undefined>;
}

/** Those of this runtime, and kubelet's word on the others where it may be asked. */
export function podsOfRuntime(pods: Pick<PodStore, "all">, kubelet?: KubeletConfig): PodsOfNode {
  const others = kubelet === undefined ? undefined : new KubeletPods(kubelet);
  const podWhere = (is: (pod: ReturnType<PodStore["all"]>[number]) => boolean): OwnerPod | undefined => {
    const spec = pods.all().find(is)?.spec;
    return spec === undefined ? undefined : { namespace: spec.namespace, name: spec.name, uid: spec.uid };
  };
  return {
    byUid: (uid) => podWhere(({ spec }) => spec.uid === uid),
    byBox: (id) => podWhere((pod) => pod.id === id),
    ...(others === undefined ? {} : { ofOthers: (uid) => others.byUid(uid) }),
  };
}
