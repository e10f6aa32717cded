/**
 * What a container of a pod of the host may ask for: what any runtime gives on the same kernel.
 * Source: CRI LinuxContainerSecurityContext, Mount and LinuxContainerResources; OCI runtime spec config-linux.md.
 */
import { RuntimeError } from "../../base/errors.js";
import type { ContainerSpec, MountSpec, SecuritySpec } from "../container/container-spec.js";
import type { ResourceSpec } from "../container/resource-spec.js";
import type { HostNamespace } from "../../vmm/box.js";
import type { LimitFacts } from "../../vmm/cgroup/limit-facts.js";
import { mountOf, type MountLine } from "../../base/mountinfo.js";
import type { HostDevices } from "./host-devices.js";
import type { OciNamespace, OciResources } from "./oci.js";
import { deviceRules, resourceLimits } from "./resources.js";
import type { SpecRules } from "./rules.js";

export interface HostFacts {
  /** Namespaces of the host that the pod shares. */
  readonly shared: readonly HostNamespace[];
  readonly mounts: readonly MountLine[];
  readonly limits: LimitFacts;
  readonly devices: HostDevices;
  /** The pod has a user namespace of its own. */
  readonly hasUsers: boolean;
}

/** An annotation for the agent: the container is in the PID namespace of its pod. */
const sharesPids = "a3s.pids";

export function hostRules({ shared, mounts, limits, devices, hasUsers }: HostFacts): SpecRules {
  return {
    checkNamespaces: (security) => {
      checkNamespaces(security, shared);
    },
    checkDevices,
    checkPropagation: (mount, what) => {
      if (hasUsers) checkPropagationOfUsers(mount, what);
      checkPropagation(mount, what, mounts);
    },
    sharesUsers: true,
    namespaces,
    resources: (resources) => hostLimits(resources, limits),
    devices: (privileged) => (privileged ? [...devices.asked, ...devices.all] : [...devices.asked]),
    deviceRules: (privileged) => (privileged ? deviceRules(true) : [...deviceRules(false), ...devices.rules]),
    annotations: (security): Record<string, string> => {
      return security.namespaces.pid === "pod" && !shared.includes("pid") ? { [sharesPids]: "pod" } : {};
    },
  };
}

/** A container has what its sandbox has. */
function checkNamespaces({ namespaces: asked }: SecuritySpec, shared: readonly HostNamespace[]): void {
  for (const name of ["pid", "ipc", "network"] as const) {
    if (asked[name] !== "host" || shared.includes(name)) continue;
    throw new RuntimeError("invalidArgument", `namespace_options.${name} is NODE, but the sandbox has one of its own`, {
      hint: "set it in the sandbox's security context too",
    });
  }
}

function checkDevices({ cdiDevices: [cdi] }: ContainerSpec): void {
  if (cdi === undefined) return;
  throw new RuntimeError("invalidArgument", `CDI device ${cdi}: CDI is not supported`, {
    hint: "use a device plugin that names devices by path",
  });
}

/** mount_namespaces(7): a mount namespace of another user namespace sends nothing to the one that it was copied from. */
function checkPropagationOfUsers({ propagation }: MountSpec, what: string): void {
  if (propagation !== "bidirectional") return;
  throw new RuntimeError("invalidArgument", `${what}: mounts of a pod with a user namespace don't reach the host`, {
    hint: "leave out hostUsers: false, or set mountPropagation to HostToContainer",
  });
}

/** mount_namespaces(7): what a private mount of the host does not send, nobody gets. */
function checkPropagation(mount: MountSpec, what: string, mounts: readonly MountLine[]): void {
  const { propagation, hostPath } = mount;
  if (propagation === "private") return;
  const kinds = mountOf(hostPath, mounts)?.propagation ?? [];
  const isShared = kinds.some((kind) => kind.startsWith("shared:"));
  const isSlave = kinds.some((kind) => kind.startsWith("master:"));
  if (isShared || (isSlave && propagation === "hostToContainer")) return;
  throw new RuntimeError("invalidArgument", `${what}: ${hostPath} is on a mount of the host that is not shared`, {
    hint: "mount --make-rshared on the host, or leave mountPropagation out",
  });
}

/**
 * The mount namespace is the container's own, and so is the cgroup namespace unless it is privileged; network, IPC and UTS
 * are the agent's, which are the pod's. PIDs: "container" has its own namespace, "target" joins that of a container, "pod"
 * is the agent's to make (see `annotations`), "host" is the host's.
 */
function namespaces(security: SecuritySpec, targetPid: number | undefined): OciNamespace[] {
  const own: OciNamespace[] = security.privileged ? [] : [{ type: "cgroup" }];
  const always: OciNamespace[] = [{ type: "mount" }, ...own];
  switch (security.namespaces.pid) {
    case "container":
      return [{ type: "pid" }, ...always];
    case "target":
      if (targetPid === undefined) {
        const why = "the container whose PID namespace is to be joined is not running";
        throw new RuntimeError("failedPrecondition", why);
      }
      return [{ type: "pid", path: `/proc/${targetPid}/ns/pid` }, ...always];
    case "pod":
    case "host":
      return always;
  }
}

/**
 * As `resourceLimits`, and what numbers the host's hardware: CPU sets, and huge pages where the host can limit them
 * (kubelet sends a limit for every size). Swap is set by kubelet, in `unified`.
 */
export function hostLimits(resources: ResourceSpec | undefined, limits: LimitFacts): OciResources {
  if (resources === undefined) return {};
  const { cpu: time, memory } = resourceLimits(resources);
  const { cpuShares, cpusetCpus, cpusetMems, hugePageLimits, unified } = resources;
  const cpu = {
    ...time,
    ...(cpuShares > 0n ? { shares: Number(cpuShares) } : {}),
    ...(cpusetCpus === "" ? {} : { cpus: cpusetCpus }),
    ...(cpusetMems === "" ? {} : { mems: cpusetMems }),
  };
  const pages = limits.hugePages ? hugePageLimits : [];
  return {
    ...(memory === undefined ? {} : { memory }),
    ...(Object.keys(cpu).length === 0 ? {} : { cpu }),
    ...(pages.length === 0
      ? {}
      : { hugepageLimits: pages.map(({ pageSize, limitBytes }) => ({ pageSize, limit: Number(limitBytes) })) }),
    ...(limits.isUnified && Object.keys(unified).length > 0 ? { unified } : {}),
  };
}
