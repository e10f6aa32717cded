import type { Deps } from "../../runtime/deps.js";
import { runtimeApi, runtimePortsOf } from "./annotation.js";
import { removeStrayInsides } from "./insides-directory.js";
import type { RuntimeApi } from "./runtime-api.js";

/**
 * Registers the service, which has pods as soon as they are made or taken up. It is loaded where a handler allows it, or a
 * pod has it since an earlier daemon; elsewhere pods that ask for it are refused.
 */
export async function openRuntimeApi(engine: Deps, health: () => string | undefined): Promise<RuntimeApi> {
  await removeStrayInsides(engine);
  const allowed = Object.values(engine.config.handlers).some(({ annotations }) => annotations.includes("runtime_api"));
  if (allowed || engine.sandboxes.anyServedBy(runtimeApi)) {
    return (await import("./runtime-api.js")).serveRuntimeApi(engine, health);
  }
  engine.servedPorts.register({ name: runtimeApi, portsFor: runtimePortsOf });
  return { close: () => Promise.resolve() };
}
