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
  const parts = path.split("/").filter((part) => part !== "");
  if (parts.includes("..")) return { kind: "unseen" };
  for (const [at, part] of parts.entries()) {
    const [above = "", further = ""] = [parts[at - 1], parts[at - 2]];
    const ofKubelet = underKubepods.test(above) || (classOfService.test(above) && underKubepods.test(further));
    const uid = (ofKubelet ? podGroup.exec(part)?.[1] : undefined) ?? podSlice.exec(part)?.[1]?.replaceAll("_", "-");
    if (uid !== undefined) return { kind: "pod", uid };
    const box = boxGroup.exec(part)?.[1];
    if (box !== undefined) return { kind: "box", id: box };
    if (someId.test(part)) return { kind: "container", group: path.slice(0, 200) };
  }
  return { kind: "machine" };
}
