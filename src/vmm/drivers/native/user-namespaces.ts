import { stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { messageOf } from "../../../base/errors.js";
import type { Native } from "../../../native/addon.js";
import type { IdMapping } from "../../box.js";
import { inDirectory, tryOverlay } from "../../share/probe-owners.js";

export interface UserNamespaceParts {
  readonly native: Native;
  /** State directory: containers' roots are mounted below it. */
  readonly state: string;
  /** Directory on the file system that has images' layers. */
  readonly layers: string;
  /** Those that runc can make. */
  readonly namespaces: readonly string[];
}

const ids = { uids: { first: 65_536, count: 65_536 }, gids: { first: 65_536, count: 65_536 } };

/** Whether pods of the host can have user namespaces: found out by making what they are made of. */
export async function nativeIdMapping(parts: UserNamespaceParts): Promise<IdMapping> {
  if (!parts.namespaces.includes("user")) return { by: "none", why: "this runc makes no user namespaces" };
  const closed = await closedDirectory(parts.state);
  if (closed !== undefined) return { by: "none", why: `${closed} can't be passed by other users (chmod o+x)` };
  try {
    const { native, layers } = parts;
    await inDirectory(join(layers, "id-map-probe"), native, (place) => tryOverlay(place, native, ids, false));
  } catch (thrown) {
    return { by: "none", why: `this kernel does not map the owners of images' layers: ${messageOf(thrown)}` };
  }
  return { by: "mounts" };
}

/** The first directory on the way that only root of the host may pass: root of a user namespace is somebody else. */
async function closedDirectory(path: string): Promise<string | undefined> {
  const above = dirname(path);
  const found = above === path ? undefined : await closedDirectory(above);
  if (found !== undefined) return found;
  return ((await stat(path)).mode & 0o001) === 0 ? path : undefined;
}
