import type { HandlerConfig } from "../../config/config.js";
import type { IdMap } from "../../native/addon.js";
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
  /** The ids of its user namespace on the host; absent: it has none of its own. */
  readonly idMap?: IdMap;
}

/** With all that is decided before anything is made. */
export interface DecidedPod extends CheckedPod {
  readonly size: BoxSize;
  /** Its ports that services of the daemon serve. */
  readonly served: readonly ServedByHost[];
}
