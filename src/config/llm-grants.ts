/** Who may have which models: pods by an annotation, sandboxes by their template or their caller. */
import { RuntimeError } from "../base/errors.js";
import { fits } from "../base/patterns.js";
import type { LlmConfig } from "./llm.js";

/** Of a pod: names of [[llm]], with commas between them. */
export const llmAnnotation = "a3s.dev/llm";
const most = 32;
const longestName = 32;

/** In the order in which they stand there, each once. */
export function namesIn(annotation: string): string[] {
  const names = annotation.split(",").map((name) => name.trim());
  return [...new Set(names.filter((name) => name !== ""))];
}

/** Throws `invalidArgument` for a name that is none, `permissionDenied` for a tenant that may not have it. */
export function checkGranted(
  names: readonly string[],
  tenant: string,
  llm: readonly Pick<LlmConfig, "name" | "tenants">[],
): void {
  if (names.length > most)
    throw new RuntimeError("invalidArgument", `${String(names.length)} models' providers are too many`);
  for (const name of names) {
    const shown = JSON.stringify(name.slice(0, longestName));
    const known = llm.find((one) => one.name === name);
    if (known === undefined) {
      throw new RuntimeError("invalidArgument", `no model's provider is called ${shown}`, {
        hint: "[[llm]] of the daemon's configuration, and llm-config.json, have them",
      });
    }
    if (!known.tenants.some((pattern) => fits(pattern, tenant))) {
      throw new RuntimeError("permissionDenied", `model's provider ${shown} may not be had by ${tenant}`, {
        hint: "tenants of its [[llm]] says who may",
      });
    }
  }
}
