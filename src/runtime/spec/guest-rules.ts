/**
 * What a container of a Box may ask for: everything is on the other side of a hardware boundary.
 * Source: OCI runtime spec config-linux.md, "Namespaces".
 */
import { RuntimeError } from "../../base/errors.js";
import type { ContainerSpec, MountSpec, SecuritySpec } from "../container/container-spec.js";
import { guestDevices } from "./guest-devices.js";
import type { OciNamespace } from "./oci.js";
import { deviceRules, guestLimits } from "./resources.js";
import type { SpecRules } from "./rules.js";

/** An annotation for the agent: the container gets nodes of all devices of the guest. */
const allDevices = { "a3s.devices": "all" };

/** Of a container without devices and huge pages. */
export const guestRules: SpecRules = {
  checkNamespaces({ namespaces: asked }) {
    if (asked.pid === "host") refuseHostNamespace("PID");
    if (asked.ipc === "host") refuseHostNamespace("IPC");
  },
  checkDevices,
  checkPropagation,
  sharesUsers: false,
  namespaces,
  resources: (resources) => guestLimits(resources, []),
  devices: () => [],
  deviceRules,
  annotations: (security): Record<string, string> => (security.privileged ? allDevices : {}),
};

/** Devices and huge pages (their sizes in KiB) are those of the guest. Throws for what it can't have. */
export function guestRulesOf(spec: ContainerSpec, hugePageKib: readonly bigint[]): SpecRules {
  const rules: SpecRules = { ...guestRules, resources: (resources) => guestLimits(resources, hugePageKib) };
  if (spec.devices.length === 0) return rules;
  const { nodes, rules: allowed } = guestDevices(spec);
  return {
    ...rules,
    devices: () => [...nodes],
    deviceRules: (privileged) => (privileged ? deviceRules(true) : [...deviceRules(false), ...allowed]),
  };
}

/** Other devices of the host are on the other side of the hardware boundary. */
function checkDevices(spec: ContainerSpec): void {
  guestDevices(spec);
  const [cdi] = spec.cdiDevices;
  if (cdi !== undefined) {
    throw new RuntimeError("invalidArgument", `CDI device ${cdi}: CDI is not supported`, {
      hint: "use a RuntimeClass whose pods share the host's kernel",
    });
  }
}

function refuseHostNamespace(which: string): never {
  throw new RuntimeError("invalidArgument", `a Box has no access to the host's ${which} namespace`, {
    hint: "use a RuntimeClass whose pods share the host's kernel",
  });
}

function checkPropagation(mount: MountSpec, what: string): void {
  if (mount.propagation !== "bidirectional") return;
  throw new RuntimeError("invalidArgument", `${what}: mounts made in a Box can't propagate back to the host`, {
    hint: "use HostToContainer or None, or a RuntimeClass whose pods share the host's kernel",
  });
}

/**
 * Mount and cgroup namespaces are the container's own; network, IPC and UTS are the guest's, which are the pod's. PIDs:
 * "container" has its own namespace, "pod" shares the guest's (the agent reaps its orphans; the agent's own processes are
 * visible in it), "target" joins that of the container named by `targetPid`, a pid in the guest.
 */
function namespaces({ namespaces: { pid } }: SecuritySpec, targetPid: number | undefined): OciNamespace[] {
  const always: OciNamespace[] = [{ type: "mount" }, { type: "cgroup" }];
  if (pid === "container") return [{ type: "pid" }, ...always];
  if (pid !== "target") return always;
  if (targetPid === undefined) {
    throw new RuntimeError("failedPrecondition", "the container whose PID namespace is to be joined is not running");
  }
  return [{ type: "pid", path: `/proc/${targetPid}/ns/pid` }, ...always];
}
