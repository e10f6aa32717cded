/** An A3sBox as its owner wants it. The API server has checked it against the CRD; this only picks and fills in. */
import { isObject, listAt, numberAt, objectAt, textAt, textsAt, type JsonObject } from "../kube/json.js";

export type Mode = "cri" | "sidecar" | "daemonset";
export type EngineWish = "Auto" | "Pod" | "AgentSandbox";
export type Engine = "Pod" | "AgentSandbox";
export type Egress = "Internet" | "None" | "Open";

export interface CodingAgent {
  readonly kind: string;
  readonly version: string | undefined;
  /** It works on this and ends; without one it waits for whoever comes. */
  readonly prompt: string | undefined;
  readonly command: readonly string[];
}

export interface Skill {
  readonly name: string;
  readonly configMap: string;
}

export interface BoxSpec {
  readonly mode: Mode;
  readonly engine: EngineWish;
  readonly codingAgent: CodingAgent | undefined;
  readonly image: string;
  readonly secret: { readonly name: string; readonly key: string } | undefined;
  /** Of the node's gateway to models. */
  readonly providers: readonly string[];
  readonly skills: readonly Skill[];
  readonly memory: string | undefined;
  readonly cpus: string | undefined;
  readonly runtimeClassName: string | undefined;
  readonly suspended: boolean;
  /** How many are kept ready; undefined without a pool. */
  readonly pool: number | undefined;
  readonly egress: Egress;
  /** Milliseconds since 1970. */
  readonly shutdownMs: number | undefined;
  readonly workspace: { readonly size: string; readonly storageClassName: string | undefined } | undefined;
}

const modes: readonly Mode[] = ["cri", "sidecar", "daemonset"];
const engines: readonly EngineWish[] = ["Auto", "Pod", "AgentSandbox"];
const egresses: readonly Egress[] = ["Internet", "None", "Open"];

function oneOf<T extends string>(allowed: readonly T[], value: string | undefined, otherwise: T): T {
  return allowed.find((one) => one === value) ?? otherwise;
}

/** Quantities may be written as numbers. */
function quantityAt(spec: JsonObject, ...path: readonly string[]): string | undefined {
  const number = numberAt(spec, ...path);
  return number === undefined ? textAt(spec, ...path) : String(number);
}

export function readSpec(box: JsonObject): BoxSpec {
  const spec = objectAt(box, "spec") ?? {};
  const agent = objectAt(spec, "codingAgent");
  const secret = textAt(spec, "llmConfig", "secretRef", "name");
  const size = quantityAt(spec, "workspace", "size");
  const shutdown = Date.parse(textAt(spec, "shutdownTime") ?? "");
  return {
    mode: oneOf(modes, textAt(spec, "mode"), "cri"),
    engine: oneOf(engines, textAt(spec, "engine"), "Auto"),
    codingAgent: agent === undefined ? undefined : readAgent(agent),
    image: textAt(spec, "image") ?? "",
    secret:
      secret === undefined
        ? undefined
        : { name: secret, key: textAt(spec, "llmConfig", "secretRef", "key") ?? "llm-config.json" },
    providers: textsAt(spec, "llmConfig", "providers"),
    skills: listAt(spec, "skills")
      .filter(isObject)
      .map((skill) => ({ name: textAt(skill, "name") ?? "", configMap: textAt(skill, "configMapRef", "name") ?? "" })),
    memory: quantityAt(spec, "resources", "memory"),
    cpus: quantityAt(spec, "resources", "cpus"),
    runtimeClassName: textAt(spec, "runtimeClassName"),
    suspended: textAt(spec, "operatingMode") === "Suspended",
    pool: numberAt(spec, "pool", "replicas"),
    egress: oneOf(egresses, textAt(spec, "network", "egress"), "Internet"),
    shutdownMs: Number.isNaN(shutdown) ? undefined : shutdown,
    workspace:
      size === undefined ? undefined : { size, storageClassName: textAt(spec, "workspace", "storageClassName") },
  };
}

function readAgent(agent: JsonObject): CodingAgent {
  return {
    kind: textAt(agent, "kind") ?? "custom",
    version: textAt(agent, "version"),
    prompt: textAt(agent, "prompt"),
    command: textsAt(agent, "command"),
  };
}
