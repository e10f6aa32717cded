import { tapName } from "../../net/guest-link.js";
import { parentIsBounded } from "../../vmm/cgroup/parent-limits.js";
import type { TakenBox } from "../../vmm/pool/box-pool.js";
import type { Deps } from "../deps.js";
import { readySize } from "./box-size.js";
import type { DecidedPod } from "./checked-pod.js";
import { hasAnnotatedSize } from "./handler-size.js";
import { hasNetwork } from "./network.js";

/** A Box that is up already, where the pod's handler has some and one would do; its id is then the pod's. */
export async function takeReady(request: DecidedPod, deps: Deps): Promise<TakenBox | undefined> {
  const { config, boxes } = deps;
  const { spec, boundary, driver, size } = request;
  const among = (config.handlers[spec.handler]?.ready ?? []).map(readySize);
  if (among.length === 0) return undefined;
  const isThere = among.some(({ vcpus, memoryMib }) => vcpus === size.vcpus && memoryMib === size.memoryMib);
  return boxes.pool.take({
    ...size,
    among,
    driver: driver ?? boxes.driver,
    tap: boundary.hasGuestLink && hasNetwork(request, config) ? tapName : null,
    mapsOwners: request.idMap !== undefined,
    takesLarger: !isThere && (await takesLarger(request, deps)),
  });
}

/**
 * More than the pod has asked for is no promise that is broken, but where somebody counts on it: the limits of the group above
 * (the guest's own memory would be killed from outside), a size that was asked for as such, a tenant's share.
 */
async function takesLarger({ spec }: DecidedPod, { config }: Deps): Promise<boolean> {
  if (hasAnnotatedSize(spec) || spec.madeFor !== undefined) return false;
  return !(await parentIsBounded(spec.cgroupParent, config.cgroup.driver));
}
