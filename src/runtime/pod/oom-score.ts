/**
 * The OOM score of a whole pod, as kubelet would have it (docs/adr/0079). Source of the figures: kubelet's
 * pkg/kubelet/qos/policy.go, GetContainerOOMScoreAdjust; of the groups' names: its qos_container_manager and cgroup names.
 */

import { readFileSync } from "node:fs";

/** By the group that kubelet has its pods in; none: not a group of kubelet's. */
export type PodQos = "guaranteed" | "burstable" | "bestEffort" | "none";

const ofGuaranteed = -997;
/** kubelet gives no burstable container less, so that none of them comes to be among the guaranteed. */
const leastOfBurstable = 3;
const most = 1000;

/** Of a pod in which no container is: nothing is known of what it asks for. */
const ofEmpty = {
  guaranteed: ofGuaranteed,
  burstable: most - 1,
  bestEffort: most,
  none: 0,
} as const satisfies Record<PodQos, number>;

/** Of this process; below what any Box has where a service manager protects it. */
function daemonsOwn(): number {
  own ??= Number(readFileSync("/proc/self/oom_score_adj", "latin1"));
  return own > 0 ? own : -most;
}

let own: number | undefined;

/** "/kubepods/burstable/pod1", "kubepods-burstable-pod1.slice", each also below a group of the operator's. */
export function qosOf(cgroupParent: string): PodQos {
  const words = cgroupParent.split(/[/.-]/);
  const at = words.lastIndexOf("kubepods");
  if (at === -1) return "none";
  const below = words.slice(at + 1).filter((word) => word !== "" && word !== "slice");
  if (below[0] === "besteffort") return "bestEffort";
  return below[0] === "burstable" ? "burstable" : "guaranteed";
}

/**
 * kubelet's rule for a container is 1000 less its share of the machine's memory in thousandths, so that the kernel compares
 * by how much each is over its request. A Box is all of its containers in one process: its share is theirs together.
 */
export function podOomScore(qos: PodQos, containers: readonly number[]): number {
  const score = scoreOf(qos, containers);
  // Where kubelet has given the daemon one, as in a sidecar, a Box of it goes before the daemon does.
  return qos === "none" ? Math.max(score, daemonsOwn()) : score;
}

function scoreOf(qos: PodQos, containers: readonly number[]): number {
  if (containers.length === 0) return ofEmpty[qos];
  const shares = containers.reduce((sum, score) => sum + (most - score), 0);
  const least = Math.max(ofGuaranteed, Math.min(leastOfBurstable, ...containers));
  return Math.min(most, Math.max(least, most - shares));
}
