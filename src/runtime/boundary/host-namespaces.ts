import type { HostNamespace } from "../../vmm/box.js";
import type { PodSpec } from "../pod/pod-spec.js";

/** kubelet's hostNetwork, hostPID and hostIPC. */
export function askedOfHost({ namespaces }: PodSpec): HostNamespace[] {
  return (["network", "pid", "ipc"] as const).filter((name) => namespaces?.[name] === "host");
}
