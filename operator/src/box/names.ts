/** Labels and annotations that the operator gives to what it makes. */
import { createHash } from "node:crypto";
import { textAt, type JsonObject } from "../kube/json.js";
import { group } from "../kube/kinds.js";

export const manager = "a3s-box-operator";
/** Names the A3sBox that an object is of. */
export const boxLabel = `${group}/box`;
/** What a pod was made of, so that a change is told from what others have added. */
export const hashAnnotation = `${group}/spec-hash`;
export const finalizer = `${group}/node`;
export const mainContainer = "agent";

export interface Identity {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
}

export function identityOf(box: JsonObject): Identity {
  const text = (name: string): string => textAt(box, "metadata", name) ?? "";
  return { name: text("name"), namespace: text("namespace"), uid: text("uid") };
}

export function labelsOf({ name }: Identity): JsonObject {
  return { [boxLabel]: name, "app.kubernetes.io/name": "a3s-box", "app.kubernetes.io/managed-by": manager };
}

/** With the A3sBox as its controller: it goes when that goes. */
export function metadataOf(identity: Identity, name = identity.name, annotations?: JsonObject): JsonObject {
  return {
    ...{ name, namespace: identity.namespace, labels: labelsOf(identity) },
    ...(annotations === undefined ? {} : { annotations }),
    ownerReferences: [
      {
        ...{ apiVersion: `${group}/v1alpha1`, kind: "A3sBox", name: identity.name, uid: identity.uid },
        ...{ controller: true, blockOwnerDeletion: false },
      },
    ],
  };
}

export function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}
