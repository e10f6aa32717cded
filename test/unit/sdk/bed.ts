/** The one port of the agents' edge, over a core in memory: what the SDK speaks with is real, but for the sandboxes. */
import { createLogger } from "../../../src/base/log.js";
import type { SandboxPortOptions } from "../../../src/sandboxes/listen/options.js";
import { sandboxdProtocols } from "../../../src/sandboxes/sandboxd/sandboxd.js";
import type { DoubleSandboxes } from "../../support/sandboxes/double.js";
import { openBed, type Bed } from "../sandboxes/listen/bed.js";

/** `toml`: of `[sandboxes]`. */
export async function openSandboxes(
  sandboxes: DoubleSandboxes,
  toml: string,
  more: Partial<SandboxPortOptions> = {},
): Promise<Bed> {
  const stopping = new AbortController().signal;
  const { grpc, http } = sandboxdProtocols({ sandboxes, log: createLogger("error"), stopping });
  return await openBed(toml, { protocolsGrpc: grpc, protocolsHttp: http, ...more });
}

export async function failure(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (thrown) {
    return thrown;
  }
  throw new Error("it succeeded");
}
