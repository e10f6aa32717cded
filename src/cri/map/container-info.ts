/** What a verbose ContainerStatus tells people and their tools (docs/adr/0095). */
import type { Container } from "../../runtime/container/container.js";
import { maxSpecBytes } from "../../runtime/container/recorded-spec.js";
import { podPid } from "../../runtime/pod/pid.js";
import type { Pod } from "../../runtime/pod/pod.js";

/**
 * `info.info`, with the members that containerd's has where we have them. `pid` is a process of the host; of a Box that is
 * its VMM, and what the guest calls the container's init is `guestPid`.
 */
export function containerInfo(container: Container, sandbox: Pod | undefined): Record<string, string> {
  const { record, state } = container;
  const box = sandbox?.record.box;
  const isThere = state !== "exited" && box !== undefined;
  const init = isThere ? record.pid : undefined;
  const isNative = box?.driver === "native";
  const text = {
    sandboxID: container.sandboxId,
    pid: (isNative ? init : isThere ? podPid(box) : undefined) ?? 0,
    pidOf: isNative ? "container" : "vmm",
    ...(isNative ? {} : { guestPid: init ?? 0 }),
    snapshotKey: container.id,
    runtimeSpec: runtimeSpecOf(container),
    sharedPaths: record.sharedPaths,
    stopSignal: record.stopSignal,
    following: container.follower !== undefined && state === "running",
  };
  return { info: JSON.stringify(text) };
}

/** As the agent was given it. Null in containers of earlier daemons, and where it is too large. */
function runtimeSpecOf({ record }: Container): unknown {
  if (record.ociSpec === undefined || Buffer.byteLength(JSON.stringify(record.process)) > maxSpecBytes) return null;
  const spec: unknown = JSON.parse(record.ociSpec);
  return typeof spec === "object" ? { ...spec, process: record.process } : null;
}
