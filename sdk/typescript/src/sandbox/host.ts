import type { Endpoint } from "../endpoint.js";
import { InvalidArgumentError } from "../errors.js";

/** The name of a sandbox's port, for what speaks HTTP: below the domain, or below localhost where the runtime is there. */
export function hostOf(endpoint: Endpoint, domain: string | undefined, sandboxId: string, port: number): string {
  if (domain !== undefined) return `${port}-${sandboxId}.${domain}`;
  const isLocal = endpoint.kind === "tcp" && ["localhost", "127.0.0.1", "::1"].includes(endpoint.host);
  if (isLocal) return `${port}-${sandboxId}.localhost:${endpoint.port}`;
  const words =
    "there is no name for a port of it (set A3S_BOX_DOMAIN where *.DOMAIN leads to the runtime; ports.forward needs no name)";
  throw new InvalidArgumentError(words, { stage: "getHost", sandboxId });
}
