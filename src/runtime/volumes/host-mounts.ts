import { isNotFound, messageOf, RuntimeError } from "../../base/errors.js";
import type { HostFile } from "../../native/addon.js";
import type { MountSpec } from "../container/container-spec.js";
import type { HostLookups } from "./host-lookups.js";

/** Where a mount's source really is on the host; links are resolved here, once, and not by whoever mounts it. */
export async function resolveSource(
  mount: MountSpec,
  index: number,
  allowed: { readonly devices: boolean },
  lookups: HostLookups,
  signal: AbortSignal,
): Promise<string> {
  const what = `mounts[${index}].host_path "${mount.hostPath}"`;
  let file: HostFile;
  try {
    file = await lookups.lookUp(mount.hostPath, signal);
  } catch (cause) {
    if (cause instanceof RuntimeError) throw cause; // there is no answer
    const why = isNotFound(cause) ? "does not exist on the host" : `can't be resolved: ${messageOf(cause)}`;
    throw new RuntimeError("invalidArgument", `${what} ${why}`, { hint: "make it before the container", cause });
  }
  if (allowed.devices || file.kind !== "device") return file.path;
  throw new RuntimeError("invalidArgument", `${what} is a device: devices of the host can't be given to a Box`, {
    hint: "use a RuntimeClass whose pods share the host's kernel",
  });
}
