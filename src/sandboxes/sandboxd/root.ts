import type { FileScope } from "../core/file.js";
import type { SandboxView } from "../core/sandbox.js";

/** Of images that say nothing. */
const usualRoot = "/workspace";

/** The directory that `process.v1` and `/v1/files` know as the root of a sandbox. */
export function rootOf(sandbox: SandboxView): string {
  return sandbox.workingDir === "" ? usualRoot : sandbox.workingDir;
}

/** Paths begin at the root directory and don't lead out of it. */
export function withinRoot(sandbox: SandboxView): FileScope {
  const root = rootOf(sandbox);
  return { user: "", base: root, root };
}
