import { realpath, stat } from "node:fs/promises";
import { isNotFound, messageOf, RuntimeError } from "../../base/errors.js";
import type { Mount } from "../../gen/runtime/v1/api.js";

/** Of one that is resolved. */
export async function isDevice(path: string): Promise<boolean> {
  const kind = await stat(path);
  return kind.isCharacterDevice() || kind.isBlockDevice();
}

/** Where a mount's source really is on the host; links are resolved here, once, and not by whoever mounts it. */
export async function resolveSource(
  mount: Mount,
  index: number,
  allowed: { readonly devices: boolean },
): Promise<string> {
  const what = `mounts[${index}].host_path "${mount.hostPath}"`;
  let path: string;
  try {
    path = await realpath(mount.hostPath);
  } catch (cause) {
    const why = isNotFound(cause) ? "does not exist on the host" : `can't be resolved: ${messageOf(cause)}`;
    throw new RuntimeError("invalidArgument", `${what} ${why}`, { hint: "make it before the container", cause });
  }
  if (allowed.devices) return path;
  const kind = await stat(path);
  if (kind.isFile() || kind.isDirectory() || kind.isSocket() || kind.isFIFO()) return path;
  throw new RuntimeError("invalidArgument", `${what} is a device: devices of the host can't be given to a Box`, {
    hint: "use a RuntimeClass whose pods share the host's kernel",
  });
}
