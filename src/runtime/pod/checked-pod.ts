import type { HandlerConfig } from "../../config/config.js";
import type { HostNamespace } from "../../vmm/box.js";
import type { Boundary } from "../boundary/boundary.js";
import type { ServedByHost } from "../served-ports/served-by-host.js";
import type { BoxSize } from "./box-size.js";
import type { PodSpec } from "./pod-spec.js";

/** A pod that may be made as it was asked for, and how. */
export interface CheckedPod {
  readonly spec: PodSpec;
  /** undefined: the daemon's, which makes a machine. */
  readonly driver: HandlerConfig["driver"];
  readonly boundary: Boundary;
  readonly hostNamespaces: readonly HostNamespace[];
  readonly size: BoxSize;
  /** Its ports that services of the daemon serve; absent: none. */
  readonly served?: readonly ServedByHost[];
}
