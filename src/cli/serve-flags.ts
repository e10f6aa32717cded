import type { ConfigFlags } from "../config/load.js";
import { sidecarUrl } from "../config/sidecar-url.js";
import { configFlags, parseFlags } from "./command.js";

/** Flags of `serve`. `--sandboxes` may stand alone: a sidecar needs no address. */
export function serveFlags(args: readonly string[]): ConfigFlags {
  const filled = args.map((word, at) => {
    const next = args[at + 1];
    return word === "--sandboxes" && (next === undefined || next.startsWith("-")) ? `--sandboxes=${sidecarUrl}` : word;
  });
  const text = { type: "string" } as const;
  return parseFlags({
    args: filled,
    options: { ...configFlags, metrics: text, sandboxes: text, cri: text } as const,
  }).values;
}
