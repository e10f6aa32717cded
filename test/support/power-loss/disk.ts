/**
 * A folder as a disk has it: what was synced stays, what was not may be there or not after a power cut. A file's bytes
 * last from fsync of the file on, its name from fsync of its folder on; folders last from their making, for journals keep
 * the order of names.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join, relative, sep } from "node:path";

class FileNode {
  written = Buffer.alloc(0);
  synced = Buffer.alloc(0);
}

class FolderNode {
  readonly now = new Map<string, DiskNode>();
  readonly synced = new Map<string, DiskNode>();
}

type DiskNode = FileNode | FolderNode;

/** What a power cut leaves of what was not synced: nothing; names without bytes; names with half of the bytes. */
export const cuts = ["nothing", "names", "half"] as const;
export type Cut = (typeof cuts)[number];

/** Contents by path; null for a folder, which comes before what is in it. */
export type DiskState = ReadonlyMap<string, Buffer | null>;

export class Disk {
  readonly root: string;
  readonly #top = new FolderNode();

  constructor(root: string) {
    this.root = root;
  }

  has(path: string): boolean {
    return path === this.root || path.startsWith(`${this.root}${sep}`);
  }

  makeFolder(path: string): void {
    let at = this.#top;
    for (const part of this.#parts(path)) {
      const known = at.now.get(part);
      const next = known instanceof FolderNode ? known : new FolderNode();
      at.now.set(part, next);
      at.synced.set(part, next);
      at = next;
    }
  }

  /** Makes it, or empties it. */
  makeFile(path: string): FileNode | undefined {
    const slot = this.#slot(path);
    if (slot === undefined) return undefined;
    const file = new FileNode();
    slot.folder.now.set(slot.name, file);
    return file;
  }

  write(file: FileNode, bytes: Uint8Array): void {
    file.written = Buffer.concat([file.written, bytes]);
  }

  sync(file: FileNode): void {
    file.synced = file.written;
  }

  syncFolder(path: string): void {
    const folder = this.#find(path);
    if (!(folder instanceof FolderNode)) return;
    folder.synced.clear();
    for (const [name, node] of folder.now) folder.synced.set(name, node);
  }

  /** False for what was made behind the model's back. */
  rename(from: string, to: string): boolean {
    const [source, target] = [this.#slot(from), this.#slot(to)];
    const node = source?.folder.now.get(source.name);
    if (source === undefined || target === undefined || node === undefined) return false;
    source.folder.now.delete(source.name);
    target.folder.now.set(target.name, node);
    return true;
  }

  remove(path: string): boolean {
    const slot = this.#slot(path);
    return slot?.folder.now.delete(slot.name) === true;
  }

  after(cut: Cut): DiskState {
    const state = new Map<string, Buffer | null>();
    const visit = (folder: FolderNode, path: string): void => {
      for (const [name, node] of cut === "nothing" ? folder.synced : folder.now) {
        const own = join(path, name);
        state.set(own, node instanceof FileNode ? bytesOf(node, cut) : null);
        if (node instanceof FolderNode) visit(node, own);
      }
    };
    visit(this.#top, "");
    return state;
  }

  #parts(path: string): string[] {
    return relative(this.root, path)
      .split(sep)
      .filter((part) => part !== "");
  }

  #find(path: string): DiskNode | undefined {
    let at: DiskNode | undefined = this.#top;
    for (const part of this.#parts(path)) at = at instanceof FolderNode ? at.now.get(part) : undefined;
    return at;
  }

  #slot(path: string): { folder: FolderNode; name: string } | undefined {
    const folder = this.#find(join(path, ".."));
    const name = this.#parts(path).at(-1);
    return folder instanceof FolderNode && name !== undefined ? { folder, name } : undefined;
  }
}

export type { FileNode };

function bytesOf(file: FileNode, cut: Cut): Buffer {
  if (cut !== "half") return file.synced;
  const unsynced = file.written.length - file.synced.length;
  return file.written.subarray(0, file.synced.length + Math.floor(unsynced / 2));
}

/** Puts a state into a folder that is there and empty. `changed` gives a file's bytes as the next boot finds them. */
export async function writeState(
  state: DiskState,
  folder: string,
  changed: (bytes: Buffer) => Buffer = (bytes) => bytes,
): Promise<void> {
  for (const [path, bytes] of state) {
    if (bytes === null) await mkdir(join(folder, path), { mode: 0o700 });
    else await writeFile(join(folder, path), changed(bytes), { mode: 0o600 });
  }
}
