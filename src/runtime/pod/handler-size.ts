import { RuntimeError } from "../../base/errors.js";
import type { Config, HandlerConfig } from "../../config/config.js";
import type { DriverName } from "../../vmm/box.js";
import { parentLimits } from "../../vmm/cgroup/parent-limits.js";
import { boxSize, wantedSize, withHugePages, type BoxSize } from "./box-size.js";
import type { CheckedPod } from "./checked-pod.js";
import type { PodSpec } from "./pod-spec.js";

/** Annotations of a pod that set the size of its Box, where the handler allows it. */
const annotationNames = { vcpus: "a3s-box/vcpus", memory_mib: "a3s-box/memory-mib" } as const;

/**
 * Size of a pod's Box under its handler: what its annotations say, else its limits with the overhead, else the handler's
 * default; with room for huge pages, but where an annotation has set the size of the whole guest. `machine` is the daemon's
 * driver, for handlers without one. Throws `invalidArgument` for an annotation that the handler does not allow, and for more
 * than it gives.
 */
export async function handlerSize(
  { spec, boundary, driver: own }: CheckedPod,
  { handlers, cgroup }: Pick<Config, "handlers" | "cgroup">,
  machine: DriverName,
): Promise<BoxSize> {
  const driver = own ?? machine;
  const handler = handlers[spec.handler];
  if (handler === undefined) throw new RuntimeError("internal", `handler "${spec.handler}" has gone`);
  const size = sizeWithin(spec, handler, driver);
  if (!boundary.hasSize || spec.annotations[annotationNames.memory_mib] !== undefined) return size;
  return withHugePages(size, await parentLimits(spec.cgroupParent, cgroup.driver), driver, handler.maxMemoryMib);
}

function sizeWithin(spec: PodSpec, handler: HandlerConfig, driver: DriverName): BoxSize {
  const wanted = wantedSize(spec, driver);
  const vcpus = annotated("vcpus", spec, handler);
  const memoryMib = annotated("memory_mib", spec, handler);
  checkMost("CPUs", vcpus ?? Number(wanted.vcpus), handler.maxVcpus);
  checkMost("MiB of memory", memoryMib ?? Number(wanted.memoryMib), handler.maxMemoryMib);
  // The annotation stands over limits: they are of the containers, it is of the whole guest.
  const asked = boxSize(spec, handler, driver);
  return boxSize({}, { vcpus: vcpus ?? asked.vcpus, memoryMib: memoryMib ?? asked.memoryMib }, driver);
}

/** The pod says itself how large its guest is. */
export function hasAnnotatedSize({ annotations }: PodSpec): boolean {
  return Object.values(annotationNames).some((name) => annotations[name] !== undefined);
}

function annotated(
  size: keyof typeof annotationNames,
  { annotations }: PodSpec,
  handler: HandlerConfig,
): number | undefined {
  const name = annotationNames[size];
  const text = annotations[name];
  if (text === undefined) return undefined;
  if (!handler.annotations.includes(size)) {
    throw new RuntimeError("invalidArgument", `annotation ${name} is not allowed by the pod's handler`, {
      hint: `annotations = ["${size}"] in the handler's table of the configuration allows it`,
    });
  }
  const value = /^[1-9]\d{0,8}$/.test(text) ? Number(text) : undefined;
  if (value === undefined) {
    throw new RuntimeError("invalidArgument", `annotation ${name}: ${JSON.stringify(text.slice(0, 80))} is no size`, {
      hint: "a whole number, 1 or more",
    });
  }
  return value;
}

function checkMost(what: string, wanted: number, most: number | undefined): void {
  if (most === undefined || wanted <= most) return;
  throw new RuntimeError(
    "invalidArgument",
    `the pod wants ${String(wanted)} ${what}; its handler gives ${String(most)}`,
  );
}
