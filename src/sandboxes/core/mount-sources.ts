import { realpath } from "node:fs/promises";
import { RuntimeError } from "../../base/errors.js";
import { stage } from "../../base/stage.js";
import type { Core } from "./core.js";
import type { SkillSource } from "../../runtime/skills/pod-skills.js";
import type { SandboxPlan } from "./plan.js";
import type { SandboxMount } from "./sandbox.js";
import { tenantConfig } from "./tenants.js";

const lookLimitMs = 20_000;

/** What is mounted, and the directory that it has to be in. */
interface Source {
  readonly path: string;
  readonly within: string;
}

/**
 * What is mounted has to be in a directory that the tenant may mount from, also when all links are resolved. Answers what each
 * is and that directory, both resolved: the engine looks again at what it has mounted.
 */
export async function checkSources(
  mounts: readonly Pick<SandboxMount, "hostPath">[],
  tenant: string,
  { config, engine }: Core,
  signal: AbortSignal,
): Promise<Source[]> {
  if (mounts.length === 0) return [];
  const allowed = tenantConfig(tenant, config).mounts;
  const resolved = await Promise.all(allowed.map(async (path) => await realpath(path).catch(() => path)));
  const found: Source[] = [];
  for (const { hostPath } of mounts) {
    if (!allowed.some((directory) => isIn(hostPath, directory))) throw refused(hostPath, tenant);
    const source = await stage(`look at mount ${hostPath}`, lookLimitMs, signal, (limit) => {
      return engine.containers.lookups.lookUp(hostPath, limit).catch((cause: unknown) => {
        if (cause instanceof RuntimeError) throw cause; // there is no answer
        throw new RuntimeError("invalidArgument", `${hostPath} is not there to be mounted`, { cause });
      });
    });
    const within = resolved.find((directory) => isIn(source.path, directory));
    if (within === undefined) throw refused(hostPath, tenant);
    found.push({ within, path: source.path });
  }
  return found;
}

/**
 * Where skills come from: what a template names is its writer's word, what a caller names has to be in a directory that the
 * tenant may mount from, which whoever reads there never leaves.
 */
export async function checkSkills(
  { trusted, directories }: SandboxPlan["skills"],
  tenant: string,
  core: Core,
  signal: AbortSignal,
): Promise<SkillSource[]> {
  if (trusted) return directories.map((path) => ({ within: path, path }));
  const mounts = directories.map((hostPath) => ({ hostPath }));
  return await checkSources(mounts, tenant, core, signal);
}

function isIn(path: string, directory: string): boolean {
  return path === directory || path.startsWith(`${directory}/`);
}

function refused(hostPath: string, tenant: string): RuntimeError {
  return new RuntimeError("permissionDenied", `${tenant} may not mount ${hostPath}`, {
    hint: "directories that may be mounted are in mounts of [sandboxes] or [sandboxes.tenants.NAME]",
  });
}
