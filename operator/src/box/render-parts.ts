/** What containers of a pod have in common. */
import type { JsonObject } from "../kube/json.js";
import type { BoxSpec } from "./spec.js";

export const workspacePath = "/workspace";

export function resourcesOf({ memory, cpus }: BoxSpec, more: JsonObject = {}): JsonObject {
  const limits = {
    ...(memory === undefined ? {} : { memory }),
    ...(cpus === undefined ? {} : { cpu: cpus }),
    ...more,
  };
  return Object.keys(limits).length === 0 ? {} : { resources: { limits } };
}

export function skillMount(mountPath: string): JsonObject {
  return { name: "skills", mountPath, readOnly: true };
}
