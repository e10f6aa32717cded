/**
 * CRDs of our own writing in the shape of agent-sandbox's v1beta1 (its module can't be had here): the members that its documents
 * name, and conditions that the test writes in its controller's place.
 */
import type { JsonObject } from "../../../operator/src/kube/json.js";

const anything = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
const text = { type: "string" };
const oneOf = (...values: readonly string[]): JsonObject => ({ type: "string", enum: values });
const object = (properties: JsonObject, required: readonly string[] = []): JsonObject => ({
  ...{ type: "object", properties },
  ...(required.length === 0 ? {} : { required }),
});
const listOf = (items: JsonObject): JsonObject => ({ type: "array", items });

const podTemplate = object({ metadata: object({ labels: anything, annotations: anything }), spec: anything }, ["spec"]);
const claims = listOf(anything);
const policy = oneOf("Allowed", "Overrides", "Disallowed");
const shutdown = { shutdownTime: { type: "string", format: "date-time" } };

function crd(
  group: string,
  kind: string,
  plural: string,
  spec: JsonObject,
  status: JsonObject,
  scale = {},
): JsonObject {
  return {
    ...{ apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition" },
    metadata: { name: `${plural}.${group}`, annotations: { "api-approved.kubernetes.io": "unapproved, of a test" } },
    spec: {
      ...{ group, scope: "Namespaced", names: { kind, plural, singular: kind.toLowerCase(), listKind: `${kind}List` } },
      versions: [
        {
          ...{ name: "v1beta1", served: true, storage: true, subresources: { status: {}, ...scale } },
          schema: { openAPIV3Schema: object({ spec, status }) },
        },
      ],
    },
  };
}

const conditions = listOf(anything);
const agents = "agents.x-k8s.io";
const extensions = "extensions.agents.x-k8s.io";

export const sandboxCrds: readonly JsonObject[] = [
  crd(
    ...([agents, "Sandbox", "sandboxes"] as const),
    object(
      {
        ...{ podTemplate, volumeClaimTemplates: claims, service: { type: "boolean" }, ...shutdown },
        ...{ operatingMode: oneOf("Running", "Suspended"), shutdownPolicy: oneOf("Delete", "Retain") },
      },
      ["podTemplate"],
    ),
    object({ conditions, serviceFQDN: text, service: text, selector: text, podIPs: listOf(text), nodeName: text }),
  ),
  crd(
    ...([extensions, "SandboxTemplate", "sandboxtemplates"] as const),
    object(
      {
        ...{ podTemplate, volumeClaimTemplates: claims, service: { type: "boolean" } },
        networkPolicy: object({ ingress: claims, egress: claims }),
        networkPolicyManagement: oneOf("Managed", "Unmanaged"),
        ...{ envVarsInjectionPolicy: policy, volumeClaimTemplatesPolicy: policy },
      },
      ["podTemplate"],
    ),
    anything,
  ),
  crd(
    ...([extensions, "SandboxWarmPool", "sandboxwarmpools"] as const),
    object(
      {
        replicas: { type: "integer", minimum: 0 },
        sandboxTemplateRef: object({ name: text }, ["name"]),
        updateStrategy: object({ type: oneOf("Recreate", "OnReplenish") }),
      },
      ["sandboxTemplateRef"],
    ),
    object({ replicas: { type: "integer" }, readyReplicas: { type: "integer" }, selector: text }),
    {
      scale: {
        specReplicasPath: ".spec.replicas",
        statusReplicasPath: ".status.replicas",
        labelSelectorPath: ".status.selector",
      },
    },
  ),
  crd(
    ...([extensions, "SandboxClaim", "sandboxclaims"] as const),
    object(
      {
        warmPoolRef: object({ name: text }, ["name"]),
        lifecycle: object({
          ...{ ...shutdown, ttlSecondsAfterFinished: { type: "integer" } },
          shutdownPolicy: oneOf("Delete", "DeleteForeground", "Retain"),
        }),
        additionalPodMetadata: object({ labels: anything, annotations: anything }),
        env: listOf(object({ name: text, value: text, containerName: text }, ["name"])),
        volumeClaimTemplates: claims,
      },
      ["warmPoolRef"],
    ),
    object({ conditions, sandbox: object({ name: text, podIPs: listOf(text) }) }),
  ),
];
