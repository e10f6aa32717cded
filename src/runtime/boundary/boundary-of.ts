import type { DriverName } from "../../vmm/box.js";
import type { Boundary } from "./boundary.js";
import { machineBoundary } from "./machine.js";
import { namespaceBoundary } from "./namespaces.js";

/** Of pods that a driver makes; undefined is the daemon's, which makes a machine. */
export function boundaryOf(driver: DriverName | undefined): Boundary {
  return driver === "native" ? namespaceBoundary : machineBoundary;
}
