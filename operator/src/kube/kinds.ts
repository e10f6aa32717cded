/** The kinds of objects that the operator reads or writes, and where the API server has them. */
import { textAt, type JsonObject } from "./json.js";

export interface Kind {
  readonly kind: string;
  readonly apiVersion: string;
  readonly plural: string;
  readonly namespaced: boolean;
}

const namespaced = (apiVersion: string, kind: string, plural: string): Kind => ({
  kind,
  apiVersion,
  plural,
  namespaced: true,
});

export const group = "a3s.dev";
const sandboxes = "agents.x-k8s.io/v1beta1";
const extensions = "extensions.agents.x-k8s.io/v1beta1";
/** Of agent-sandbox: with another version of either there is nothing that we know how to ask for. */
export const sandboxVersions = [sandboxes, extensions] as const;

export const kinds = {
  box: namespaced(`${group}/v1alpha1`, "A3sBox", "a3sboxes"),
  pod: namespaced("v1", "Pod", "pods"),
  volumeClaim: namespaced("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
  networkPolicy: namespaced("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
  secret: namespaced("v1", "Secret", "secrets"),
  configMap: namespaced("v1", "ConfigMap", "configmaps"),
  event: namespaced("v1", "Event", "events"),
  lease: namespaced("coordination.k8s.io/v1", "Lease", "leases"),
  runtimeClass: { kind: "RuntimeClass", apiVersion: "node.k8s.io/v1", plural: "runtimeclasses", namespaced: false },
  sandbox: namespaced(sandboxes, "Sandbox", "sandboxes"),
  sandboxTemplate: namespaced(extensions, "SandboxTemplate", "sandboxtemplates"),
  warmPool: namespaced(extensions, "SandboxWarmPool", "sandboxwarmpools"),
  claim: namespaced(extensions, "SandboxClaim", "sandboxclaims"),
} as const satisfies Record<string, Kind>;

export interface Place {
  readonly namespace?: string;
  readonly name?: string;
}

export function pathOf({ apiVersion, plural, namespaced: inNamespace }: Kind, { namespace, name }: Place = {}): string {
  const root = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const space = inNamespace && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : "";
  return `${root}${space}/${plural}${name === undefined ? "" : `/${encodeURIComponent(name)}`}`;
}

/** Throws for what names no kind of ours. */
export function kindOf(object: JsonObject): Kind {
  const [apiVersion, kind] = [textAt(object, "apiVersion"), textAt(object, "kind")];
  const found = Object.values<Kind>(kinds).find((one) => one.kind === kind && one.apiVersion === apiVersion);
  if (found === undefined) throw new Error(`no such kind: ${apiVersion ?? ""} ${kind ?? ""}`);
  return found;
}

/** `namespace/name`, or the name of what is the cluster's. */
export function keyOf(object: JsonObject): string {
  const namespace = textAt(object, "metadata", "namespace");
  const name = textAt(object, "metadata", "name") ?? "";
  return namespace === undefined ? name : `${namespace}/${name}`;
}

export function placeOf(key: string): { readonly namespace: string; readonly name: string } {
  const [namespace = "", name = ""] = key.split("/");
  return { namespace, name };
}
