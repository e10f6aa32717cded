import { RuntimeError } from "../base/errors.js";
import type { Config, HandlerConfig } from "./config.js";
import type { settings } from "./settings.js";

type Given = (typeof settings)["handlers"]["standard"];

/** Those of the file, over the two that are always there; what a handler leaves out is the daemon's. */
export function handlersOf(given: Given, sizes: Pick<HandlerConfig, "vcpus" | "memoryMib">): Config["handlers"] {
  const plain = { driver: undefined, ...sizes, maxVcpus: undefined, maxMemoryMib: undefined, annotations: [], llm: [] };
  const handlers: Record<string, HandlerConfig> = { "": plain, microvm: plain };
  for (const [name, one] of Object.entries(given)) {
    handlers[name] = {
      driver: one.driver,
      vcpus: one.vcpus ?? Math.min(sizes.vcpus, one.max_vcpus ?? sizes.vcpus),
      memoryMib: one.memory_mib ?? Math.min(sizes.memoryMib, one.max_memory_mib ?? sizes.memoryMib),
      maxVcpus: one.max_vcpus,
      maxMemoryMib: one.max_memory_mib,
      annotations: one.annotations,
      llm: one.llm,
    };
    checkMost(`handlers.${name}.vcpus`, one.vcpus, one.max_vcpus);
    checkMost(`handlers.${name}.memory_mib`, one.memory_mib, one.max_memory_mib);
  }
  return handlers;
}

function checkMost(name: string, usual: number | undefined, most: number | undefined): void {
  if (usual === undefined || most === undefined || usual <= most) return;
  throw new RuntimeError(
    "invalidArgument",
    `${name} = ${String(usual)} is more than the handler's most, ${String(most)}`,
  );
}
