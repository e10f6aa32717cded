import type { SkillSource } from "../../runtime/skills/pod-skills.js";

/** What kubelet alone writes to: what a pod could write to is nothing for the daemon to read. */
const kinds = ["configmap", "projected"];

/** A pod's volume by its name, where this mount's source is all of it. kubelet's directory says whose it is. */
export function sourceOfVolume(hostPath: string, name: string, podUid: string): SkillSource | undefined {
  if (podUid === "" || podUid.includes("/")) return undefined;
  const ends = kinds.map((kind) => `/pods/${podUid}/volumes/kubernetes.io~${kind}/${name}`);
  return ends.some((end) => hostPath.endsWith(end)) ? { within: hostPath, path: hostPath } : undefined;
}
