/**
 * What of a security context is not a capability, a user or a seccomp profile.
 * Source: CRI LinuxContainerSecurityContext; OCI runtime spec config-linux.md, "Namespaces".
 */
import { RuntimeError } from "../../base/errors.js";
import {
  NamespaceMode,
  SecurityProfile_ProfileType,
  type ContainerConfig,
  type LinuxContainerSecurityContext,
} from "../../gen/runtime/v1/api.js";
import type { OciNamespace } from "./oci.js";

/** Refuses what a Box can't give or what contradicts the sandbox. */
export function checkSecurity(security: LinuxContainerSecurityContext | undefined, sandboxPrivileged: boolean): void {
  if (security === undefined) return;
  if (security.privileged && !sandboxPrivileged) {
    throw new RuntimeError("invalidArgument", "a privileged container needs a privileged sandbox", {
      hint: "set privileged in the sandbox's security context too",
    });
  }
  if (security.namespaceOptions?.pid === NamespaceMode.NODE) refuseHostNamespace("PID");
  if (security.namespaceOptions?.ipc === NamespaceMode.NODE) refuseHostNamespace("IPC");
  const userns = security.namespaceOptions?.usernsOptions;
  if (userns !== undefined && userns.mode !== NamespaceMode.NODE) {
    throw new RuntimeError("invalidArgument", "user namespaces are not supported in a Box", {
      hint: "leave hostUsers unset: the Box is the boundary already",
    });
  }
  checkApparmor(security);
}

/** Devices of the host are on the other side of the hardware boundary. */
export function checkDevices(config: ContainerConfig): void {
  const [device] = config.devices;
  if (device !== undefined) {
    throw new RuntimeError("invalidArgument", `device ${device.hostPath} of the host can't be given to a Box`, {
      hint: "use a RuntimeClass whose pods share the host's kernel",
    });
  }
  const [cdi] = config.CDIDevices;
  if (cdi !== undefined) {
    throw new RuntimeError("invalidArgument", `CDI device ${cdi.name}: CDI is not supported`, {
      hint: "use a RuntimeClass whose pods share the host's kernel",
    });
  }
}

function refuseHostNamespace(which: string): never {
  throw new RuntimeError("invalidArgument", `a Box has no access to the host's ${which} namespace`, {
    hint: "use a RuntimeClass whose pods share the host's kernel",
  });
}

/** The newer field wins. The guest has no AppArmor, and a profile of the host means nothing in it. */
function checkApparmor(security: LinuxContainerSecurityContext): void {
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- kubelet before 1.30 and the CRI test suite still use it
  const type = security.apparmor?.profileType ?? apparmorTypeOf(security.apparmorProfile);
  if (type === SecurityProfile_ProfileType.Unconfined) return;
  if (type === SecurityProfile_ProfileType.RuntimeDefault && security.privileged) return;
  throw new RuntimeError("invalidArgument", "apparmor is not supported", {
    hint: "leave the AppArmor profile unset or Unconfined",
  });
}

function apparmorTypeOf(deprecated: string): SecurityProfile_ProfileType {
  if (deprecated === "" || deprecated === "unconfined") return SecurityProfile_ProfileType.Unconfined;
  if (deprecated === "runtime/default") return SecurityProfile_ProfileType.RuntimeDefault;
  return SecurityProfile_ProfileType.Localhost;
}

/**
 * Mount and cgroup namespaces are the container's own; network, IPC and UTS are the guest's, which are the pod's. PIDs:
 * CONTAINER has its own namespace, POD shares the guest's (the agent reaps its orphans; the agent's own processes are
 * visible in it), TARGET joins that of the container named by `targetPid`, a pid in the guest.
 */
export function namespaces(
  security: LinuxContainerSecurityContext | undefined,
  targetPid: number | undefined,
): OciNamespace[] {
  const always: OciNamespace[] = [{ type: "mount" }, { type: "cgroup" }];
  const pid = security?.namespaceOptions?.pid ?? NamespaceMode.POD;
  if (pid === NamespaceMode.CONTAINER) return [{ type: "pid" }, ...always];
  if (pid !== NamespaceMode.TARGET) return always;
  if (targetPid === undefined) {
    throw new RuntimeError("failedPrecondition", "the container whose PID namespace is to be joined is not running");
  }
  return [{ type: "pid", path: `/proc/${targetPid}/ns/pid` }, ...always];
}
