/**
 * What stands between a pod and its host: a machine of its own, or the kernel's namespaces. It decides what a pod may ask
 * for and what becomes of it in a spec; everything else of the runtime is the same for both (docs/adr/0045).
 */
import type { ContainerConfig, LinuxContainerResources, PodSandboxConfig } from "../../gen/runtime/v1/api.js";
import type { HostNamespace } from "../../vmm/box.js";
import type { SpecRules } from "../spec/rules.js";

export interface Boundary {
  /** Namespaces of the host that the pod lives in. Throws `invalidArgument` for those that can't be had. */
  hostNamespaces(config: PodSandboxConfig): HostNamespace[];
  /** Throws `invalidArgument` for a sysctl that is not the pod's own. */
  checkSysctls(config: PodSandboxConfig): void;
  /** The agent sets the pod's end of the network up: there is a guest, and a tap to it. */
  readonly hasGuestLink: boolean;
  /** The agent sets the pod's clock. */
  readonly hasClock: boolean;
  /** Sources of mounts get a place in the Box's share, which the agent holds. */
  readonly placesSources: boolean;
  /** Specs have the seccomp profile in them; the agent gets the filter that it was made of in any case. */
  readonly takesProfile: boolean;
  /** Containers run wherever their pod does: CPUs and memory nodes of the host are set for all of it. */
  readonly sharesCpus: boolean;
  /** The pod's size is fixed when it is made. */
  readonly hasSize: boolean;
  /** How specs are made of containers' configs. Asks host and guest what they have. */
  specRules(config: ContainerConfig, sandbox: PodSandboxConfig, guest: GuestFacts): Promise<SpecRules>;
  /** OCI `linux.resources` of an update. */
  resources(resources: LinuxContainerResources, guest: GuestFacts): Promise<object>;
}

/** What is there behind a boundary; asked for where it matters. */
export interface GuestFacts {
  /** Sizes of the huge pages that containers can have. */
  hugePageKib(): Promise<readonly bigint[]>;
}
