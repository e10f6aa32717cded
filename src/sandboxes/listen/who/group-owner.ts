/** Whose a process is, by the control groups it is in (proc_pid_cgroup(5)): a pure function of text. */

export type GroupOwner =
  /** kubelet's uid of a pod. */
  | { readonly kind: "pod"; readonly uid: string }
  /** The id of a Box, which is its pod's: one whose pod names no parent of kubelet's. */
  | { readonly kind: "box"; readonly id: string }
  /** In something that has the form of a container, and whose nobody can say. */
  | { readonly kind: "container"; readonly group: string }
  /** Outside of what this process sees of the hierarchy: it has a cgroup namespace of its own. */
  | { readonly kind: "unseen" }
  /** A process of the machine. */
  | { readonly kind: "machine" };

/** "pod" and the uid, below "kubepods" or a class of service in it. systemd writes "-" of the uid as "_". */
const underKubepods = /^(?:[^/]*-)?kubepods(?:\.slice)?$|^(?:[^/]*-)?kubepods-(?:burstable|besteffort)\.slice$/;
const classOfService = /^(?:burstable|besteffort)$/;
const podGroup = /^pod([0-9a-zA-Z-]{1,64})$/;
const podSlice = /^(?:[^/]*-)?kubepods(?:-burstable|-besteffort)?-pod([0-9a-zA-Z_]{1,64})\.slice$/;
const boxGroup = /^(?:a3s-box-)?([0-9a-f]{64})(?:\.scope)?$/;
/** As every runtime has one in its containers' groups: "docker-ID.scope", "cri-containerd-ID.scope", "libpod-ID". */
const someId = /[0-9a-f]{64}/;
/** Below it groups are the service's or the user's own to make, with any name: none of them says who somebody is. */
const unitOfMachine = /\.(?:service|scope)$/;
/**
 * In a cgroup namespace of its own this process sees other pods beside an ancestor of its container's group: ".." is its pod,
 * "../.." where the pods of its class are. cgroup_namespaces(7). Nobody but kubelet makes groups there.
 */
const levelsToPods = 2;

/**
 * The first from the top counts: whoever may make groups in its own makes any it likes there, and another pod's name would
 * be below its own. Of several hierarchies (version 1) all that say something must say the same.
 */
export function groupOwner(text: string): GroupOwner {
  let found: GroupOwner = { kind: "machine" };
  for (const line of text.split("\n")) {
    const path = /^\d+:[^:]*:(\/.*)$/.exec(line)?.[1];
    if (path === undefined) continue;
    const owner = ownerOf(path);
    if (owner.kind === "machine") continue;
    if (found.kind === "machine") found = owner;
    else if (keyOf(found) !== keyOf(owner)) return { kind: "container", group: path.slice(0, 200) };
  }
  return found;
}

function keyOf(owner: GroupOwner): string {
  if (owner.kind === "pod") return `pod ${owner.uid}`;
  return owner.kind === "box" ? `box ${owner.id}` : owner.kind;
}

function ownerOf(path: string): GroupOwner {
  const all = path.split("/").filter((part) => part !== "");
  const found = all.findIndex((part) => part !== "..");
  const up = found < 0 ? all.length : found;
  const parts = all.slice(up);
  if (parts.includes("..")) return { kind: "unseen" };
  const owner = ownerBelow(parts, up >= levelsToPods);
  // What is not a pod there may be anything: this process does not see from where it is.
  return up > 0 && owner.kind !== "pod" ? { kind: "unseen" } : owner;
}

/** `besidePods`: what is above the first of them is above this process's own pod, and not to be seen. */
function ownerBelow(parts: readonly string[], besidePods: boolean): GroupOwner {
  let isDelegated = false;
  for (const [at, part] of parts.entries()) {
    const [above, further] = [parts[at - 1], parts[at - 2]];
    const isBelow = above === undefined ? besidePods : underKubepods.test(above);
    const inClass = above !== undefined && classOfService.test(above);
    const ofKubelet = isBelow || (inClass && (further === undefined ? besidePods : underKubepods.test(further)));
    const slice = isBelow ? podSlice.exec(part)?.[1]?.replaceAll("_", "-") : undefined;
    const uid = slice ?? (ofKubelet ? podGroup.exec(part)?.[1] : undefined);
    const box = boxGroup.exec(part)?.[1];
    if (isDelegated && (uid !== undefined || someId.test(part))) return containerAt(parts);
    if (uid !== undefined) return { kind: "pod", uid };
    if (box !== undefined) return { kind: "box", id: box };
    if (someId.test(part)) return containerAt(parts);
    isDelegated ||= unitOfMachine.test(part);
  }
  return { kind: "machine" };
}

function containerAt(parts: readonly string[]): GroupOwner {
  return { kind: "container", group: `/${parts.join("/")}`.slice(0, 200) };
}
