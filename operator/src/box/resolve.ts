/** What an A3sBox refers to: whether it is there, and of its skills which files they have. */
import type { KubeClient } from "../kube/client.js";
import { isReason } from "../kube/error.js";
import type { JsonObject } from "../kube/json.js";
import { kinds, type Kind } from "../kube/kinds.js";
import type { Cluster } from "../runtime/cluster.js";
import type { Problem } from "./conditions.js";
import { runtimeClassOf, type PodOptions, type SkillKeys } from "./render-pod.js";
import { faultIn, keysOf, mistakeIn } from "./skills.js";
import type { BoxSpec, Engine } from "./spec.js";

/** What a Secret has in it is no business of ours. */
const metadataOnly = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

export interface Resolution {
  readonly problems: readonly Problem[];
  /** Skills that agents will leave out, and why: nothing waits for them. */
  readonly broken: readonly string[];
  readonly keys: SkillKeys;
}

/**
 * `before`: the engine that has run it until now: that stays, whatever comes or goes. An API server that has just started does not
 * serve all its groups yet, and nothing may end for that. Answers with a problem where what is asked for can't be had.
 */
export function chooseEngine(spec: BoxSpec, before: string | undefined, hasSandboxes: boolean): Engine | Problem {
  if (spec.engine === "Pod") return "Pod";
  const isAuto = spec.engine === "Auto" && spec.pool === undefined;
  if (isAuto && (before === "Pod" || (before === undefined && !hasSandboxes))) return "Pod";
  if (hasSandboxes) return "AgentSandbox";
  const what = isAuto ? "what runs it" : spec.engine === "AgentSandbox" ? "engine AgentSandbox" : "a pool";
  const message = `${what} needs agent-sandbox (v1beta1), which is not served: install it, or take spec.engine: Pod without a pool`;
  return { reason: "AgentSandboxMissing", message };
}

export class Resolver {
  readonly #client: KubeClient;
  readonly #cluster: Cluster;
  readonly #options: PodOptions;

  constructor(client: KubeClient, cluster: Cluster, options: PodOptions) {
    this.#client = client;
    this.#cluster = cluster;
    this.#options = options;
  }

  async resolve(spec: BoxSpec, namespace: string): Promise<Resolution> {
    const problems: Problem[] = [];
    const broken: string[] = [];
    const keys = new Map<string, readonly string[]>();
    const runtimeClass = runtimeClassOf(spec, this.#options);
    if (runtimeClass !== undefined && this.#cluster.get(kinds.runtimeClass, runtimeClass) === undefined) {
      const message = `there is no RuntimeClass ${runtimeClass}: apply the runtime's, or name another in spec.runtimeClassName`;
      problems.push({ reason: "RuntimeClassMissing", message });
    }
    if (spec.secret !== undefined && (await this.#find(kinds.secret, namespace, spec.secret.name)) === undefined) {
      const message = `there is no Secret ${spec.secret.name} in namespace ${namespace}: make it, with the key ${spec.secret.key}`;
      problems.push({ reason: "SecretMissing", message });
    }
    for (const { name, configMap } of spec.skills) {
      const found = await this.#find(kinds.configMap, namespace, configMap);
      if (found === undefined) {
        const message = `there is no ConfigMap ${configMap} in namespace ${namespace}, which skill ${name} is in: make it, or take the skill away`;
        problems.push({ reason: "ConfigMapMissing", message });
        continue;
      }
      const names = keysOf(found);
      const mistake = mistakeIn(names);
      if (mistake !== undefined) {
        problems.push({ reason: "SkillInvalid", message: `ConfigMap ${configMap} of skill ${name} ${mistake}` });
      }
      keys.set(configMap, names);
      const fault = faultIn(found, name);
      if (fault !== undefined) broken.push(`skill ${name}: SKILL.md of ConfigMap ${configMap} ${fault}`);
    }
    return { problems, broken, keys };
  }

  async #find(kind: Kind, namespace: string, name: string): Promise<JsonObject | undefined> {
    try {
      const accept = kind === kinds.secret ? { accept: metadataOnly } : {};
      return await this.#client.get(kind, { namespace, name }, accept);
    } catch (thrown) {
      if (isReason(thrown, "NotFound")) return undefined;
      throw thrown;
    }
  }
}
