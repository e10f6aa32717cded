/** The one port of the agents' edge, over a core in memory: what the SDK speaks with is real, but for the sandboxes. */
import { createLogger } from "../../../src/base/log.js";
import { sandboxdProtocols } from "../../../src/sandboxes/sandboxd/sandboxd.js";
import type { DoubleSandboxes } from "../../support/sandboxes/double.js";
import { openBed, type Bed } from "../sandboxes/listen/bed.js";

/** `toml`: of `[sandboxes]`. */
export async function openSandboxes(sandboxes: DoubleSandboxes, toml: string): Promise<Bed> {
  const stopping = new AbortController().signal;
  const { grpc, http } = sandboxdProtocols({ sandboxes, log: createLogger("error"), stopping });
  return await openBed(toml, { protocolsGrpc: grpc, protocolsHttp: http });
}

export async function failure(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (thrown) {
    return thrown;
  }
  throw new Error("it succeeded");
}
