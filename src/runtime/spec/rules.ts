import type {
  ContainerConfig,
  LinuxContainerResources,
  LinuxContainerSecurityContext,
  Mount,
} from "../../gen/runtime/v1/api.js";
import type { OciDevice, OciDeviceRule, OciNamespace, OciResources } from "./oci.js";

/** What of a spec depends on whether the pod has a kernel of its own. */
export interface SpecRules {
  /** Throw `invalidArgument` for what can't be had. */
  checkNamespaces(security: LinuxContainerSecurityContext): void;
  checkDevices(config: ContainerConfig): void;
  checkPropagation(mount: Mount, what: string): void;
  /** The containers of a pod with a user namespace have one together; else each has one, all alike. */
  readonly sharesUsers: boolean;
  /** `targetPid`: for NamespaceMode.TARGET, as the agent numbers it. */
  namespaces(security: LinuxContainerSecurityContext | undefined, targetPid: number | undefined): OciNamespace[];
  resources(resources: LinuxContainerResources | undefined): OciResources;
  /** Nodes to make. */
  devices(privileged: boolean): OciDevice[];
  deviceRules(privileged: boolean): OciDeviceRule[];
  /** For whoever runs the container. */
  annotations(security: LinuxContainerSecurityContext | undefined): Record<string, string>;
}
