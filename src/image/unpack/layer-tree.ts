/**
 * Writes a layer's entries into a folder of its own, for overlayfs. Every step goes through a descriptor of the parent
 * folder that was opened below the root without following a link, so that no order of entries leaves the root.
 * For worker threads: all of it is synchronous.
 */
import { constants, writeSync } from "node:fs";
import { errnoOf, RuntimeError } from "../../base/errors.js";
import type { NativeSync } from "../../native/addon.js";
import { FolderCache, openFolderFlags } from "./folder-cache.js";
import { entryParts, escapes, linkParts, whiteoutOf } from "./entry-path.js";
import type { TarEntry, TarSink } from "./tar-reader.js";

/** Where an entry is: a name in an open folder. */
interface Slot {
  readonly dirfd: number;
  readonly name: string;
  /** Path from the root. */
  readonly path: string;
}

/** What the layers below have to say about the finished tree. */
export interface TreeNotes {
  /** Folders that the layer has without an entry of their own: theirs are the attributes of the layers below. */
  readonly impliedFolders: readonly string[];
  /** Folders that hide what lower layers have in them. "" is the root. */
  readonly opaqueFolders: readonly string[];
}

const opaqueAttribute = "trusted.overlay.opaque";
const fileType = { character: constants.S_IFCHR, block: constants.S_IFBLK, fifo: constants.S_IFIFO } as const;
const rootName = "fs";

export class LayerTree {
  readonly #sync: NativeSync;
  /** The folder around the root: the root is an entry in it like any other. */
  readonly #aroundFd: number;
  readonly #folders: FolderCache;
  readonly #implied = new Set<string>();
  readonly #opaque = new Set<string>();
  readonly #whiteouts = new Set<string>();
  readonly #folderTimes = new Map<string, bigint>();
  /** The file whose content is under way. */
  #fileFd: number | null = null;

  /** Makes `fs` in the folder, which must be there and empty. */
  constructor(sync: NativeSync, around: string) {
    this.#sync = sync;
    this.#aroundFd = sync.openRootSync(around);
    sync.mkdiratSync(this.#aroundFd, rootName, 0o755);
    this.#folders = new FolderCache(sync, sync.openBeneathSync(this.#aroundFd, rootName, openFolderFlags, 0));
    this.#implied.add("");
  }

  /** Makes the entry; the sink takes a file's content. */
  write(entry: TarEntry): TarSink | null {
    const parts = entryParts(entry.name);
    const name = parts.at(-1);
    if (name === undefined) {
      if (entry.type !== "directory") throw escapes("its root is not a folder");
      this.#dress({ dirfd: this.#aroundFd, name: rootName, path: "" }, entry);
      this.#noteFolder("", entry);
      return null;
    }
    const parentParts = parts.slice(0, -1);
    const parent = parentParts.join("/");
    const dirfd = this.#parentFd(parentParts);
    const whiteout = whiteoutOf(name);
    switch (whiteout.kind) {
      case "ignored":
        return null;
      case "opaque":
        this.#makeOpaque(parent);
        return null;
      case "removed":
        this.#hide({ dirfd, name: whiteout.name, path: join(parent, whiteout.name) });
        return null;
      case "none":
        return this.#make({ dirfd, name, path: join(parent, name) }, entry);
    }
  }

  /** Sets the times of folders, which their content has changed. */
  finish(): TreeNotes {
    for (const [path, mtimeNs] of [...this.#folderTimes].reverse()) {
      if (path === "") {
        this.#sync.utimensatSync(this.#aroundFd, rootName, mtimeNs, mtimeNs);
        continue;
      }
      const parts = path.split("/");
      const name = parts.pop() ?? "";
      this.#sync.utimensatSync(this.#folders.open(parts.join("/")), name, mtimeNs, mtimeNs);
    }
    return { impliedFolders: [...this.#implied], opaqueFolders: [...this.#opaque] };
  }

  close(): void {
    this.#closeFile();
    this.#folders.close();
    this.#sync.closeSync(this.#aroundFd);
  }

  #closeFile(): void {
    const fd = this.#fileFd;
    this.#fileFd = null;
    if (fd !== null) this.#sync.closeSync(fd);
  }

  #make(slot: Slot, entry: TarEntry): TarSink | null {
    switch (entry.type) {
      case "directory":
        this.#makeFolder(slot, entry);
        return null;
      case "file":
        return this.#makeFile(slot, entry);
      case "hardlink":
        this.#makeHardLink(slot, entry);
        return null;
      case "symlink":
        this.#clear(slot);
        this.#sync.symlinkatSync(entry.link, slot.dirfd, slot.name);
        this.#dress(slot, entry);
        this.#sync.utimensatSync(slot.dirfd, slot.name, entry.mtimeNs, entry.mtimeNs);
        return null;
      case "character":
      case "block":
      case "fifo":
        this.#clear(slot);
        this.#sync.mknodatSync(slot.dirfd, slot.name, fileType[entry.type] | 0o600, entry.major, entry.minor);
        this.#dress(slot, entry);
        this.#sync.utimensatSync(slot.dirfd, slot.name, entry.mtimeNs, entry.mtimeNs);
        return null;
    }
  }

  #makeFolder(slot: Slot, entry: TarEntry): void {
    if (this.#sync.kindatSync(slot.dirfd, slot.name) !== "directory") {
      const hides = this.#whiteouts.has(slot.path);
      this.#clear(slot);
      this.#sync.mkdiratSync(slot.dirfd, slot.name, 0o700);
      if (hides) this.#makeOpaque(slot.path); // removed and made again: nothing of the lower one shows through
    }
    this.#dress(slot, entry);
    this.#noteFolder(slot.path, entry);
  }

  #makeFile(slot: Slot, entry: TarEntry): TarSink {
    this.#clear(slot);
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const fd = this.#sync.openBeneathSync(slot.dirfd, slot.name, flags, 0o600);
    this.#fileFd = fd;
    return {
      write: (chunk) => {
        for (let at = 0; at < chunk.length;) at += writeSync(fd, chunk, at);
      },
      end: () => {
        this.#closeFile();
        this.#dress(slot, entry);
        this.#sync.utimensatSync(slot.dirfd, slot.name, entry.mtimeNs, entry.mtimeNs);
      },
    };
  }

  /** The target carries the attributes already: a change of owner here would take its capabilities. */
  #makeHardLink(slot: Slot, entry: TarEntry): void {
    const parts = linkParts(entry.link);
    const targetName = parts.at(-1) ?? "";
    const targetPath = parts.join("/");
    if (targetPath === slot.path || targetPath.startsWith(`${slot.path}/`)) throw noTarget(entry.link);
    const targetFd = this.#openParent(parts.slice(0, -1));
    if (targetFd === null || this.#whiteouts.has(targetPath)) throw noTarget(entry.link);
    const kind = this.#sync.kindatSync(targetFd, targetName);
    if (kind === null) throw noTarget(entry.link);
    if (kind === "directory") throw escapes("its hard link leads to a folder");
    this.#clear(slot);
    this.#sync.linkatSync(targetFd, targetName, slot.dirfd, slot.name);
  }

  /** Owner first: chown takes set-uid bits and capabilities. */
  #dress(slot: Slot, entry: TarEntry): void {
    this.#sync.fchownatSync(slot.dirfd, slot.name, entry.uid, entry.gid);
    if (entry.type !== "symlink") this.#sync.fchmodatSync(slot.dirfd, slot.name, entry.mode);
    for (const [attribute, value] of entry.xattrs) {
      if (attribute.startsWith("trusted.overlay.") || attribute.startsWith("user.overlay.")) continue; // overlayfs's own
      try {
        this.#sync.lsetxattratSync(slot.dirfd, slot.name, attribute, value);
      } catch (thrown) {
        if (!isUnsupportedAttribute(thrown, attribute)) throw thrown;
      }
    }
  }

  #noteFolder(path: string, entry: TarEntry): void {
    this.#implied.delete(path);
    this.#folderTimes.set(path, entry.mtimeNs);
  }

  #makeOpaque(path: string): void {
    if (this.#opaque.has(path)) return;
    const parent = path === "" ? this.#aroundFd : this.#folders.open(parentOf(path));
    const name = path === "" ? rootName : path.slice(path.lastIndexOf("/") + 1);
    this.#sync.lsetxattratSync(parent, name, opaqueAttribute, Buffer.from("y"));
    this.#opaque.add(path);
  }

  /** A whiteout speaks of lower layers only: what this layer has of that name stays. */
  #hide(slot: Slot): void {
    const kind = this.#sync.kindatSync(slot.dirfd, slot.name);
    if (kind === "directory") this.#makeOpaque(slot.path);
    if (kind !== null) return;
    this.#sync.mknodatSync(slot.dirfd, slot.name, constants.S_IFCHR, 0, 0);
    this.#whiteouts.add(slot.path);
  }

  /** A later entry of the same name takes the place of the earlier one. */
  #clear(slot: Slot): void {
    const kind = this.#sync.kindatSync(slot.dirfd, slot.name);
    if (kind === null) return;
    this.#whiteouts.delete(slot.path);
    if (kind !== "directory") {
      this.#sync.unlinkatSync(slot.dirfd, slot.name, false);
      return;
    }
    this.#sync.removeTreeatSync(slot.dirfd, slot.name);
    this.#folders.forget(slot.path);
    for (const set of [this.#implied, this.#opaque, this.#whiteouts, this.#folderTimes]) {
      for (const path of set.keys()) {
        if (path === slot.path || path.startsWith(`${slot.path}/`)) set.delete(path);
      }
    }
  }

  /** The folder, or null when it isn't in this layer. */
  #openParent(parts: readonly string[]): number | null {
    try {
      return this.#folders.open(parts.join("/"));
    } catch (thrown) {
      const errno = errnoOf(thrown);
      if (errno === "ENOENT") return null;
      if (errno === "ELOOP" || errno === "ENOTDIR")
        throw escapes(`"${parts.join("/")}" leads through a link or a file`);
      throw thrown;
    }
  }

  /** The folder, made with all above it where the layer has no entry for it. */
  #parentFd(parts: readonly string[]): number {
    try {
      return this.#folders.open(parts.join("/"));
    } catch (thrown) {
      if (!["ENOENT", "ELOOP", "ENOTDIR"].includes(errnoOf(thrown) ?? "")) throw thrown;
    }
    let path = "";
    for (const part of parts) {
      const dirfd = this.#folders.open(path);
      path = join(path, part);
      const kind = this.#sync.kindatSync(dirfd, part);
      if (kind === "directory") continue;
      const hides = this.#whiteouts.delete(path);
      if (kind !== null && !hides)
        throw escapes(`"${path}" is a ${kind === "symlink" ? "link" : "file"}, not a folder`);
      if (hides) this.#sync.unlinkatSync(dirfd, part, false);
      this.#sync.mkdiratSync(dirfd, part, 0o755);
      if (hides) this.#makeOpaque(path);
      this.#implied.add(path);
    }
    return this.#folders.open(path);
  }
}

function join(parent: string, name: string): string {
  return parent === "" ? name : `${parent}/${name}`;
}

function parentOf(path: string): string {
  return path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : "";
}

function noTarget(link: string): RuntimeError {
  return new RuntimeError("internal", `its hard link's target "${link.slice(0, 200)}" is not in the layer`);
}

/** File systems without an attribute's kind, and user attributes of what may have none (xattr(7)). */
function isUnsupportedAttribute(thrown: unknown, attribute: string): boolean {
  const errno = errnoOf(thrown);
  return errno === "ENOTSUP" || errno === "EOPNOTSUPP" || (errno === "EPERM" && attribute.startsWith("user."));
}
