import { NamespaceMode, type PodSandboxConfig } from "../../gen/runtime/v1/api.js";
import type { HostNamespace } from "../../vmm/box.js";

/** CRI NamespaceOption with the mode NODE: kubelet's hostNetwork, hostPID and hostIPC. */
export function askedOfHost(config: PodSandboxConfig): HostNamespace[] {
  const options = config.linux?.securityContext?.namespaceOptions;
  const asked = (["network", "pid", "ipc"] as const).filter((name) => options?.[name] === NamespaceMode.NODE);
  return [...asked];
}
