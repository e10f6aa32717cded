/** All objects of an A3sBox, by the engine that runs it. Pure. */
import { objectAt, type JsonObject } from "../kube/json.js";
import { kinds, type Kind } from "../kube/kinds.js";
import { boxLabel, metadataOf, type Identity } from "./names.js";
import {
  podHash,
  podTemplateMetadata,
  renderPod,
  workspaceClaim,
  type PodOptions,
  type SkillKeys,
} from "./render-pod.js";
import type { BoxSpec, Engine } from "./spec.js";

/** Where a Box has no business by default: private networks, the node's own, and services of clouds for their machines. */
const closed = {
  "0.0.0.0/0": [
    ...["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "168.63.129.16/32"],
  ],
  "::/0": ["fc00::/7", "fe80::/10"],
};

function objectOf({ apiVersion, kind }: Kind, metadata: JsonObject, spec: JsonObject): JsonObject {
  return { apiVersion, kind, metadata, spec };
}

/** What stays while it is suspended. */
export function renderWorkspace(identity: Identity, { workspace }: BoxSpec): JsonObject | undefined {
  if (workspace === undefined) return undefined;
  const { size, storageClassName } = workspace;
  return objectOf(kinds.volumeClaim, metadataOf(identity, workspaceClaim(identity.name)), {
    accessModes: ["ReadWriteOnce"],
    resources: { requests: { storage: size } },
    ...(storageClassName === undefined ? {} : { storageClassName }),
  });
}

/** Nobody comes in (`kubectl exec` and `port-forward` need no way in), and out as far as is said. */
export function renderNetworkPolicy(identity: Identity, { egress }: BoxSpec): JsonObject | undefined {
  if (egress === "Open") return undefined;
  const outside = Object.entries(closed).map(([cidr, except]) => ({ ipBlock: { cidr, except } }));
  const dns = {
    to: [
      {
        namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "kube-system" } },
        podSelector: { matchLabels: { "k8s-app": "kube-dns" } },
      },
    ],
    ports: ["UDP", "TCP"].map((protocol) => ({ protocol, port: 53 })),
  };
  return objectOf(kinds.networkPolicy, metadataOf(identity), {
    podSelector: { matchLabels: { [boxLabel]: identity.name } },
    policyTypes: ["Ingress", "Egress"],
    ...(egress === "None" ? {} : { egress: [dns, { to: outside }] }),
  });
}

export interface Runner {
  readonly engine: Engine;
  readonly keys: SkillKeys;
  readonly options: PodOptions;
}

/** What runs it, in the order in which it is to be made. */
export function renderRunner(
  identity: Identity,
  spec: BoxSpec,
  { engine, keys, options }: Runner,
): readonly JsonObject[] {
  const pod = renderPod(identity, spec, keys, options);
  if (engine === "Pod") return [objectOf(kinds.pod, pod.metadata, pod.spec)];
  const template = { metadata: podTemplateMetadata(identity, spec, podHash(spec, options)), spec: pod.spec };
  const metadata = metadataOf(identity);
  const ends = spec.shutdownMs === undefined ? {} : { shutdownTime: timeOf(spec.shutdownMs), shutdownPolicy: "Retain" };
  if (spec.pool === undefined) {
    const operatingMode = spec.suspended ? "Suspended" : "Running";
    return [objectOf(kinds.sandbox, metadata, { podTemplate: template, operatingMode, ...ends })];
  }
  return [
    // The policy is ours, in every engine the same.
    objectOf(kinds.sandboxTemplate, metadata, { podTemplate: template, networkPolicyManagement: "Unmanaged" }),
    objectOf(kinds.warmPool, metadata, { replicas: spec.pool, sandboxTemplateRef: { name: identity.name } }),
    objectOf(kinds.claim, metadata, {
      warmPoolRef: { name: identity.name },
      ...(Object.keys(ends).length === 0 ? {} : { lifecycle: ends }),
    }),
  ];
}

/** The Sandbox that a claim has got runs or not, as the A3sBox says; all else of it is its template's. */
export function renderClaimedMode(sandbox: JsonObject, { suspended }: BoxSpec): JsonObject {
  const { name, namespace, uid } = objectAt(sandbox, "metadata") ?? {};
  return objectOf(kinds.sandbox, { name, namespace, uid }, { operatingMode: suspended ? "Suspended" : "Running" });
}

/** As the API writes times: without fractions. */
export function timeOf(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}
