import type { ContainerSpec, MountSpec, SecuritySpec } from "../container/container-spec.js";
import type { ResourceSpec } from "../container/resource-spec.js";
import type { OciDevice, OciDeviceRule, OciNamespace, OciResources } from "./oci.js";

/** What of a spec depends on whether the pod has a kernel of its own. */
export interface SpecRules {
  /** Throw `invalidArgument` for what can't be had. */
  checkNamespaces(security: SecuritySpec): void;
  checkDevices(spec: ContainerSpec): void;
  checkPropagation(mount: MountSpec, what: string): void;
  /** The containers of a pod with a user namespace have one together; else each has one, all alike. */
  readonly sharesUsers: boolean;
  /** `targetPid`: for the mode "target", as the agent numbers it. */
  namespaces(security: SecuritySpec, targetPid: number | undefined): OciNamespace[];
  resources(resources: ResourceSpec | undefined): OciResources;
  /** Nodes to make. */
  devices(privileged: boolean): OciDevice[];
  deviceRules(privileged: boolean): OciDeviceRule[];
  /** For whoever runs the container. */
  annotations(security: SecuritySpec): Record<string, string>;
}
