import { RuntimeError } from "../base/errors.js";
import type { Config, HandlerConfig, ReadyBoxes } from "./config.js";
import type { settings } from "./settings.js";

type Given = (typeof settings)["handlers"]["standard"];

/**
 * Those of the file, over the two that are always there; what a handler leaves out is the daemon's. Boxes that are ready for
 * "microvm" are for "" too, which has no table: of pods without a RuntimeClass, and sandboxes for agents.
 */
export function handlersOf(given: Given, sizes: Pick<HandlerConfig, "vcpus" | "memoryMib">): Config["handlers"] {
  const bounds = { maxVcpus: undefined, maxMemoryMib: undefined };
  const plain = { driver: undefined, ...sizes, ...bounds, annotations: [], llm: [], ready: [] };
  const usual = given["microvm"];
  const forAll = usual === undefined || usual.driver !== undefined ? [] : readyOf("microvm", usual);
  const handlers: Record<string, HandlerConfig> = { "": { ...plain, ready: forAll }, microvm: plain };
  for (const [name, one] of Object.entries(given)) {
    handlers[name] = {
      driver: one.driver,
      vcpus: one.vcpus ?? Math.min(sizes.vcpus, one.max_vcpus ?? sizes.vcpus),
      memoryMib: one.memory_mib ?? Math.min(sizes.memoryMib, one.max_memory_mib ?? sizes.memoryMib),
      maxVcpus: one.max_vcpus,
      maxMemoryMib: one.max_memory_mib,
      annotations: one.annotations,
      llm: one.llm,
      ready: readyOf(name, one),
    };
    checkMost(`handlers.${name}.vcpus`, one.vcpus, one.max_vcpus);
    checkMost(`handlers.${name}.memory_mib`, one.memory_mib, one.max_memory_mib);
  }
  return handlers;
}

/** What no pod of the handler could have is a mistake, and so is a size that is there twice. */
function readyOf(name: string, { driver, ready, ...most }: Given[string]): ReadyBoxes[] {
  if (driver === "native" && ready.length > 0) {
    throw new RuntimeError("invalidArgument", `handlers.${name}.ready: pods of the driver "native" have no Box`);
  }
  const seen = new Set<string>();
  return ready.map(({ vcpus, memory_mib: memoryMib, count }, index) => {
    const place = `handlers.${name}.ready.${String(index)}`;
    checkMost(`${place}.vcpus`, vcpus, most.max_vcpus);
    checkMost(`${place}.memory_mib`, memoryMib, most.max_memory_mib);
    const size = `${String(vcpus)} CPUs and ${String(memoryMib)} MiB`;
    if (seen.has(size)) throw new RuntimeError("invalidArgument", `${place}: ${size} is there twice`);
    seen.add(size);
    return { vcpus, memoryMib, count };
  });
}

function checkMost(name: string, usual: number | undefined, most: number | undefined): void {
  if (usual === undefined || most === undefined || usual <= most) return;
  throw new RuntimeError(
    "invalidArgument",
    `${name} = ${String(usual)} is more than the handler's most, ${String(most)}`,
  );
}
