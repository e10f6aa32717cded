import { RuntimeError } from "../../base/errors.js";
import { shortId } from "../../base/ids.js";
import type { Deps } from "../deps.js";
import { boxSize, checkResources, wantedSize, type PodLimits } from "./box-size.js";
import type { Pod } from "./pod.js";

/**
 * Grants a running pod what fits into the Box that it was given, and refuses what doesn't: a running microVM can't grow.
 * Answers how much memory the pod wants; undefined where a pod has no size of its own.
 */
export async function resizePod(
  sandbox: Pod,
  limits: PodLimits,
  deps: Deps,
  signal: AbortSignal,
): Promise<bigint | undefined> {
  checkResources("resources", limits.resources);
  checkResources("overhead", limits.overhead);
  await sandbox.liveBox(signal);
  if (!sandbox.boundary.hasSize) return undefined;
  const driver = sandbox.record.box?.driver ?? deps.boxes.driver;
  const has = sandbox.record.size ?? boxSize(sandbox.spec, deps.config.sandbox, driver);
  const wants = wantedSize(limits, driver);
  // Of what was over the host's a Box has as much as there is: the same again is no growth.
  const began = wantedSize(sandbox.spec, driver);
  const refuse = (what: string): never => {
    throw new RuntimeError("failedPrecondition", `sandbox ${shortId(sandbox.id)} can't grow to ${what}`, {
      hint: "a running microVM keeps its size: recreate the pod, or give it its largest size from the start",
    });
  };
  if (wants.memoryMib > larger(has.memoryMib, began.memoryMib))
    refuse(`${wants.memoryMib} MiB: its Box has ${has.memoryMib}`);
  if (wants.vcpus > larger(has.vcpus, began.vcpus)) refuse(`${wants.vcpus} CPUs: its Box has ${has.vcpus}`);
  return wants.memoryMib;
}

function larger(size: number, asked: bigint): bigint {
  return BigInt(size) > asked ? BigInt(size) : asked;
}
