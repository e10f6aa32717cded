import { mkdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { messageOf } from "../../../base/errors.js";
import type { Native } from "../../../native/addon.js";
import type { IdMapping } from "../../box.js";

export interface UserNamespaceParts {
  readonly native: Native;
  /** State folder: containers' roots are mounted below it. */
  readonly state: string;
  /** Folder on the file system that has images' layers. */
  readonly layers: string;
  /** Those that runc can make. */
  readonly namespaces: readonly string[];
}

const ids = { uids: { first: 65_536, count: 65_536 }, gids: { first: 65_536, count: 65_536 } };

/** Whether pods of the host can have user namespaces: found out by making what they are made of. */
export async function nativeIdMapping(parts: UserNamespaceParts): Promise<IdMapping> {
  if (!parts.namespaces.includes("user")) return { by: "none", why: "this runc makes no user namespaces" };
  const closed = await closedFolder(parts.state);
  if (closed !== undefined) return { by: "none", why: `${closed} can't be passed by other users (chmod o+x)` };
  try {
    await tryOverlay(parts);
  } catch (thrown) {
    return { by: "none", why: `this kernel does not map the owners of images' layers: ${messageOf(thrown)}` };
  }
  return { by: "mounts" };
}

/** The first folder on the way that only root of the host may pass: root of a user namespace is somebody else. */
async function closedFolder(path: string): Promise<string | undefined> {
  const above = dirname(path);
  const found = above === path ? undefined : await closedFolder(above);
  if (found !== undefined) return found;
  return ((await stat(path)).mode & 0o001) === 0 ? path : undefined;
}

async function tryOverlay({ native, layers }: UserNamespaceParts): Promise<void> {
  const folder = join(layers, "id-map-probe");
  await discard(folder, native); // of a daemon that was killed meanwhile
  try {
    const place = (name: string): string => join(folder, name);
    for (const name of ["", "lower", "upper", "work", "merged"]) await mkdir(place(name), { mode: 0o700 });
    const flags = { readonly: false, nosuid: true, nodev: true };
    const mount = { lowers: [place("lower")], upper: place("upper"), work: place("work"), target: place("merged") };
    await native.mountOverlay({ ...mount, flags, index: true, ids });
  } finally {
    await discard(folder, native);
  }
}

async function discard(folder: string, native: Native): Promise<void> {
  await native.unmount(join(folder, "merged"), true);
  await native.removeTree(folder);
}
