import { stat } from "node:fs/promises";
import { join } from "node:path";
import { neverAborted } from "../base/signals.js";
import { packageVersion } from "../base/version.js";
import type { BootDeps } from "./boot-box.js";
import type { Driver } from "./drivers/driver.js";

/**
 * Everything that a Box depends on before it has a pod, beside its sizes: programs, kernel, agent, its kernel's command line,
 * this version of us.
 */
export async function machineIdentity(
  driver: Driver,
  { guestBase, kernelParameters }: Pick<BootDeps, "guestBase" | "kernelParameters">,
): Promise<string> {
  const agent = await stat(join(guestBase, "usr/bin/agent"), { bigint: true });
  const programs = await driver.identity?.(kernelParameters, neverAborted);
  const facts = [packageVersion(), driver.name, guestBase, agent.ino, agent.size, agent.mtimeNs, programs ?? ""];
  return facts.join("\n");
}
