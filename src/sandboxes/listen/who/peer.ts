/** Who has connected a Unix socket: a pod of this node, or its root. By facts of the kernel alone (docs/adr/0107). */
import { readFile } from "node:fs/promises";
import { messageOf, RuntimeError } from "../../../base/errors.js";
import { procStat } from "../../../base/proc-stat.js";
import type { Native, PeerCredentials } from "../../../native/addon.js";
import type { Caller, OwnerPod } from "../../core/caller.js";
import { groupOwner, type GroupOwner } from "./group-owner.js";
import { localTenant, nodeTenant, type Known } from "./known.js";
import type { PodsOfNode } from "./pods-of-node.js";

export interface PeerParts {
  readonly native: Pick<Native, "peerCredentials" | "openPeer" | "signalProcess" | "closeFd">;
  readonly pods: PodsOfNode;
  /** known: pods and root. anyone: whoever can open the socket. */
  readonly callers: "known" | "anyone";
}

/** Never throws: what goes wrong is why it is refused. `fd`: of the connection, which stays the caller's. */
export async function peerOf(fd: number, parts: PeerParts): Promise<Known> {
  try {
    return { kind: "caller", caller: await callerOf(fd, parts) };
  } catch (thrown) {
    const isOurs = thrown instanceof RuntimeError;
    const why = isOurs ? thrown : new RuntimeError("unauthenticated", messageOf(thrown), { stage: "ask who calls" });
    return { kind: "refused", why };
  }
}

async function callerOf(fd: number, { native, pods, callers }: PeerParts): Promise<Caller> {
  const peer = native.peerCredentials(fd);
  if (callers === "anyone") return { tenant: localTenant, name: `uid ${String(peer.uid)}` };
  if (peer.pid <= 0) {
    throw new RuntimeError("unauthenticated", "the caller's process is not to be seen from here", {
      hint: 'run the daemon in the machine\'s PID namespace, or set sandboxes.unix_callers = "anyone"',
    });
  }
  const pidfd = native.openPeer(fd);
  if (pidfd === null) throw gone();
  try {
    const owner = await ownerOf(peer.pid);
    // Its number was its own while its groups were read: it is there still.
    if (!(await native.signalProcess(pidfd, 0))) throw gone();
    return await callerIn(owner, peer, pods);
  } finally {
    await native.closeFd(pidfd);
  }
}

/**
 * A process that ends is shown in the root of each hierarchy of version 1: read so, root of a pod would be root of the
 * machine. What is not ending after its groups were read was not when they were.
 */
async function ownerOf(pid: number): Promise<GroupOwner> {
  const text = await readFile(`/proc/${String(pid)}/cgroup`, "utf8").catch(() => undefined);
  const stat = await procStat(pid);
  if (text === undefined || stat === undefined || stat.isExiting) throw gone();
  return groupOwner(text);
}

async function callerIn(owner: GroupOwner, { uid }: PeerCredentials, pods: PodsOfNode): Promise<Caller> {
  switch (owner.kind) {
    case "pod":
      return callerOfPod(pods.byUid(owner.uid)) ?? (await callerInOtherPod(owner.uid, uid, pods));
    case "box": {
      const known = callerOfPod(pods.byBox(owner.id));
      if (known !== undefined) return known;
      throw new RuntimeError(
        "permissionDenied",
        `the caller is in container ${owner.id.slice(0, 12)}, whose nobody knows`,
      );
    }
    case "container":
      throw new RuntimeError("permissionDenied", `the caller is in a container (${owner.group}), whose nobody knows`, {
        hint: 'only pods of this node may call, or anybody with sandboxes.unix_callers = "anyone"',
      });
    case "unseen":
      throw new RuntimeError("unauthenticated", "the caller's control group is not to be seen from here", {
        hint: "run the daemon in the machine's cgroup namespace",
      });
    case "machine":
      if (uid === 0) return { tenant: nodeTenant, name: "uid 0" };
      throw new RuntimeError("permissionDenied", `user ${String(uid)} of the machine may not call`, {
        hint: "call as root, from a pod, or by TCP with a token",
      });
  }
}

function callerOfPod(pod: OwnerPod | undefined): Caller | undefined {
  return pod === undefined
    ? undefined
    : { tenant: pod.namespace, name: `pod ${pod.namespace}/${pod.name}`, owner: pod };
}

/**
 * Where the daemon is a pod of somebody else's, root beside it is who looks after it. A pod that another runtime runs is
 * its namespace's tenant, and owns nothing: when it ends is not for this runtime to see.
 */
async function callerInOtherPod(podUid: string, uid: number, { ofOthers }: PodsOfNode): Promise<Caller> {
  const own = groupOwner(await readFile("/proc/self/cgroup", "utf8"));
  if (uid === 0 && own.kind === "pod" && own.uid === podUid) return { tenant: nodeTenant, name: "uid 0" };
  const pod = await ofOthers?.(podUid);
  if (pod !== undefined) return { tenant: pod.namespace, name: `pod ${pod.namespace}/${pod.name}` };
  throw new RuntimeError("permissionDenied", `pod ${podUid} is none of this runtime's: its namespace is not known`, {
    hint:
      ofOthers === undefined
        ? "give the pod a RuntimeClass of this runtime, set sandboxes.kubelet, or call by TCP with a token"
        : "kubelet knows no such pod; call by TCP with a token",
  });
}

function gone(): RuntimeError {
  return new RuntimeError("unauthenticated", "the process that has connected is gone: nobody knows who calls", {
    hint: "connect from a process that stays",
  });
}
