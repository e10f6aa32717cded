import type { DriverName } from "../../vmm/box.js";
import type { Boundary, BoundaryName } from "./boundary.js";
import { machineBoundary } from "./machine.js";
import { namespaceBoundary } from "./namespaces.js";

/** What a driver puts between a pod and its host; undefined is the daemon's, which makes a machine. For new pods: it stays. */
export function boundaryOf(driver: DriverName | undefined): Boundary {
  return driver === "native" ? namespaceBoundary : machineBoundary;
}

/** As a pod's record has it. */
export function boundaryNamed(name: BoundaryName): Boundary {
  return name === "machine" ? machineBoundary : namespaceBoundary;
}
