/** Which skills a pod asks for. */
import * as z from "zod";
import { RuntimeError } from "../../base/errors.js";
import type { HandlerConfig } from "../../config/config.js";
import type { PodSpec } from "../pod/pod-spec.js";
import type { SkillSource } from "./pod-skills.js";

/** Of a pod: names of its volumes with commas between them, or the path at which its containers have skills mounted. */
export const skillsAnnotation = "a3s.dev/skills";
/** Below the state directory: one for each pod that has any. */
export const skillsRoot = "skills";
const mostNames = 64;
/** As Kubernetes has names of volumes. */
const volumeName = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const path = /^(?:\/(?!\.\.?(?:\/|$))[^/\0]+)+$/;

export type WantedSkills =
  | { readonly kind: "none" }
  /** Of a sandbox of the agents' edge. */
  | { readonly kind: "directories"; readonly sources: readonly SkillSource[] }
  /** Of the pod, by their names: ConfigMaps and projected volumes. */
  | { readonly kind: "volumes"; readonly names: readonly string[] }
  /** As a container has it mounted: an image volume, or whatever else. */
  | { readonly kind: "path"; readonly path: string };

const sources = z.array(z.object({ within: z.string(), path: z.string() }));

/** For the pod of a sandbox, which alone may name directories. */
export function sourcesText(all: readonly SkillSource[]): string {
  return JSON.stringify(all);
}

/** Throws `invalidArgument` for an annotation that says nothing, or that the pod's handler does not take. */
export function wantedSkills(
  { annotations, madeFor }: Pick<PodSpec, "annotations" | "madeFor">,
  handler: Pick<HandlerConfig, "annotations"> | undefined,
): WantedSkills {
  const value = annotations[skillsAnnotation]?.trim() ?? "";
  if (value === "") return { kind: "none" };
  if (madeFor !== undefined) return { kind: "directories", sources: sources.parse(JSON.parse(value)) };
  if (handler?.annotations.includes("skills") !== true) {
    throw refused("is not allowed by the pod's handler", `annotations = ["skills"] in the handler's table allows it`);
  }
  if (value.startsWith("/")) {
    if (path.test(value)) return { kind: "path", path: value };
    throw refused(`: ${JSON.stringify(value.slice(0, 80))} is no absolute path`, "without . or .. in it");
  }
  const names = [...new Set(value.split(",").map((name) => name.trim()))].filter((name) => name !== "");
  const wrong = names.find((name) => !volumeName.test(name));
  if (wrong !== undefined || names.length > mostNames) {
    const what =
      wrong === undefined ? "names too many volumes" : `: ${JSON.stringify(wrong.slice(0, 80))} is no volume`;
    throw refused(what, `up to ${String(mostNames)} names of the pod's volumes with commas between them, or a path`);
  }
  return { kind: "volumes", names };
}

/** Whether something mounted is what this daemon has put together for the pod. */
export function isOfSkills(hostPath: string, pod: string): boolean {
  return hostPath.includes(`/${skillsRoot}/${pod}/`);
}

function refused(what: string, hint: string): RuntimeError {
  const space = what.startsWith(":") ? "" : " ";
  return new RuntimeError("invalidArgument", `annotation ${skillsAnnotation}${space}${what}`, { hint });
}
