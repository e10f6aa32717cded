/**
 * What stands between a pod and its host: a machine of its own, or the kernel's namespaces. It decides what a pod may ask
 * for and what becomes of it in a spec; everything else of the runtime is the same for both (docs/adr/0045).
 */
import * as z from "zod";
import type { HostNamespace } from "../../vmm/box.js";
import type { ContainerSpec } from "../container/container-spec.js";
import type { ResourceSpec } from "../container/resource-spec.js";
import type { PodSpec } from "../pod/pod-spec.js";
import type { SpecRules } from "../spec/rules.js";

/** As records have it. */
export const boundaryName = z.enum(["machine", "namespaces"]);
export type BoundaryName = z.infer<typeof boundaryName>;

export interface Boundary {
  readonly name: BoundaryName;
  /** Namespaces of the host that the pod lives in. Throws `invalidArgument` for those that can't be had. */
  hostNamespaces(spec: PodSpec): HostNamespace[];
  /** Throws `invalidArgument` for a sysctl that is not the pod's own. */
  checkSysctls(spec: PodSpec): void;
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
  /** Containers live in the processes of their pod: the OOM score is that of all of it (docs/adr/0079). */
  readonly sharesOomScore: boolean;
  /** The pod's size is fixed when it is made. */
  readonly hasSize: boolean;
  /** How specs are made of containers' specs. Asks host and guest what they have. */
  specRules(spec: ContainerSpec, pod: PodSpec, guest: GuestFacts): Promise<SpecRules>;
  /** OCI `linux.resources` of an update. */
  resources(resources: ResourceSpec, guest: GuestFacts): Promise<object>;
}

/** What is there behind a boundary; asked for where it matters. */
export interface GuestFacts {
  /** Sizes of the huge pages that containers can have. */
  hugePageKib(): Promise<readonly bigint[]>;
}
