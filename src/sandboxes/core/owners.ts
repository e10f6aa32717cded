import type { PodStore } from "../../runtime/pod/pod-store.js";
import type { OwnerPod } from "./caller.js";

/** Who knows whether pods are there that sandboxes end with. */
export interface Owners {
  /** Undefined: it can't be told now. */
  isThere(owner: OwnerPod): boolean | undefined;
}

/** Pods of this daemon. */
export class EnginePods implements Owners {
  readonly #pods: Pick<PodStore, "list">;

  constructor(pods: Pick<PodStore, "list">) {
    this.#pods = pods;
  }

  /** A pod may have been made anew on this node, with the same uid and another attempt. */
  isThere({ namespace, name, uid }: OwnerPod): boolean {
    return this.#pods.list().some(({ spec, state }) => {
      return state === "ready" && spec.uid === uid && spec.name === name && spec.namespace === namespace;
    });
  }
}
