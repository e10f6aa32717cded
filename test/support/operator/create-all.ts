import type { KubeClient } from "../../../operator/src/kube/client.js";
import { textAt, type JsonObject } from "../../../operator/src/kube/json.js";
import { pathOf } from "../../../operator/src/kube/kinds.js";

/** Of kinds that the operator itself does not know. */
const plurals: Readonly<Record<string, string>> = {
  RuntimeClass: "runtimeclasses",
  A3sBox: "a3sboxes",
  Sandbox: "sandboxes",
  MutatingAdmissionPolicy: "mutatingadmissionpolicies",
};

/** Strictly: members that are unknown are refused. */
export async function createAll(client: KubeClient, objects: readonly JsonObject[]): Promise<void> {
  for (const object of objects) {
    const kind = textAt(object, "kind") ?? "";
    const apiVersion = textAt(object, "apiVersion") ?? "";
    const namespace = textAt(object, "metadata", "namespace");
    const plural = plurals[kind] ?? `${kind.toLowerCase()}s`;
    const place = namespace === undefined ? {} : { namespace };
    const path = pathOf({ kind, apiVersion, plural, namespaced: namespace !== undefined }, place);
    await client.ask("POST", path, { body: object, query: { fieldValidation: "Strict" } });
  }
}
