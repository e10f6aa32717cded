/** Folders that a layer has without an entry take their attributes from the layers below. */
import { constants, fstatSync, type BigIntStats } from "node:fs";
import { errnoOf, RuntimeError } from "../../base/errors.js";
import type { NativeSync } from "../../native/addon.js";
import type { SettleRequest } from "./messages.js";

const lookFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/** On a worker's thread. The layers below are complete. */
export function settleFolders(sync: NativeSync, request: SettleRequest): void {
  const lowers = request.lowers.map((lower) => sync.openRootSync(lower));
  const around = sync.openRootSync(parentOf(request.root));
  try {
    for (const path of request.impliedFolders) {
      const found = lookUp(sync, lowers, path);
      if (found === null) continue;
      const full = path === "" ? baseOf(request.root) : `${baseOf(request.root)}/${path}`;
      const dirfd = full === baseOf(request.root) ? around : sync.openBeneathSync(around, parentOf(full), lookFlags, 0);
      try {
        const name = baseOf(full);
        sync.fchownatSync(dirfd, name, Number(found.uid), Number(found.gid));
        sync.fchmodatSync(dirfd, name, Number(found.mode) & 0o7777);
        sync.utimensatSync(dirfd, name, found.mtimeNs, found.mtimeNs);
      } finally {
        if (dirfd !== around) sync.closeSync(dirfd);
      }
    }
  } finally {
    for (const fd of [around, ...lowers]) sync.closeSync(fd);
  }
}

/** The uppermost folder of that path below; null when there is none. */
function lookUp(sync: NativeSync, lowers: readonly number[], path: string): BigIntStats | null {
  for (const lower of lowers) {
    try {
      if (path === "") return fstatSync(lower, { bigint: true });
      const fd = sync.openBeneathSync(lower, path, lookFlags, 0);
      try {
        return fstatSync(fd, { bigint: true });
      } finally {
        sync.closeSync(fd);
      }
    } catch (thrown) {
      const errno = errnoOf(thrown);
      if (errno === "ENOENT") continue;
      if (errno === "ELOOP" || isLink(sync, lower, path)) throw throughLink(path);
      if (errno === "ENOTDIR") return null; // removed or a file in that layer: the new folder stands in its place
      throw thrown;
    }
  }
  return null;
}

/** True when the path, or what leads to it, is a link in that layer (O_NOFOLLOW says ENOTDIR for the last part). */
function isLink(sync: NativeSync, lower: number, path: string): boolean {
  const parts = path.split("/");
  for (const [position, part] of parts.entries()) {
    const parent = parts.slice(0, position).join("/");
    const dirfd = parent === "" ? lower : sync.openBeneathSync(lower, parent, lookFlags, 0);
    try {
      const kind = sync.kindatSync(dirfd, part);
      if (kind !== "directory") return kind === "symlink";
    } finally {
      if (dirfd !== lower) sync.closeSync(dirfd);
    }
  }
  return false;
}

function throughLink(path: string): RuntimeError {
  return new RuntimeError("internal", `the layer writes below "${path}", which is a link in a layer below`, {
    hint: "build the image so that its layers name the folders that the link leads to",
  });
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

function baseOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
