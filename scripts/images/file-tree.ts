import { dirname } from "node:path";
import { RuntimeError } from "../../src/base/errors.js";
import type { ImageFile } from "../setup/image-layer.js";

/** The files of an image, layer upon layer. */
export class FileTree {
  readonly #files = new Map<string, ImageFile>();
  #changed = new Set<string>();
  #newest = 0;

  /** The newest time of all that is in it: that of what has none of its own. */
  get newest(): number {
    return this.#newest;
  }

  /** As a package has it: a directory that is there already stays as it is, and a file that is there already is an error. */
  add(file: ImageFile): void {
    const present = this.#files.get(file.path);
    if (present?.kind === "directory" && file.kind === "directory") return;
    if (present !== undefined) throw new RuntimeError("alreadyExists", `two packages have ${file.path}`);
    this.#newest = Math.max(this.#newest, file.mtime ?? 0);
    this.#set(file);
  }

  /** As we have it, whatever is there. */
  put(file: ImageFile): void {
    this.#set({ mtime: this.#newest, ...file });
  }

  /** Makes a directory of root's unless it is there. */
  directory(path: string, mode = 0o755): void {
    if (!this.#files.has(path)) this.put({ path, kind: "directory", mode });
  }

  has(path: string): boolean {
    return this.#files.has(path);
  }

  /** Of a file that must be there. */
  content(path: string): Buffer {
    const file = this.#files.get(path);
    if (file?.kind === "file") return file.content;
    throw new RuntimeError("notFound", `no package has the file ${path}`);
  }

  /** Paths below a directory, sorted. */
  below(directory: string): string[] {
    return [...this.#files.keys()].filter((path) => path.startsWith(`${directory}/`)).sort();
  }

  /** What has come since the last layer, with the directories that it is in; those before what is in them, hard links at last. */
  takeLayer(): ImageFile[] {
    const paths = new Set<string>();
    for (const path of this.#changed) {
      for (let at = path; at !== "."; at = dirname(at)) paths.add(at);
    }
    this.#changed = new Set();
    const files = [...paths].sort().map((path) => this.#files.get(path) ?? this.#unknownDirectory(path));
    return [...files.filter((file) => file.kind !== "hardlink"), ...files.filter((file) => file.kind === "hardlink")];
  }

  #set(file: ImageFile): void {
    this.#files.set(file.path, file);
    this.#changed.add(file.path);
  }

  /** One whose package says nothing of it, or says it in what is stripped. */
  #unknownDirectory(path: string): ImageFile {
    const directory: ImageFile = { path, kind: "directory", mode: 0o755, mtime: this.#newest };
    this.#files.set(path, directory);
    return directory;
  }
}
