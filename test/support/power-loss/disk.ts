/**
 * A directory as a disk has it: what was synced stays, what was not may be there or not after a power cut. A file's bytes
 * last from fsync of the file on, its name from fsync of its directory on; directories last from their making, for journals keep
 * the order of names.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join, relative, sep } from "node:path";

class FileNode {
  written = Buffer.alloc(0);
  synced = Buffer.alloc(0);
}

class DirectoryNode {
  readonly now = new Map<string, DiskNode>();
  readonly synced = new Map<string, DiskNode>();
}

type DiskNode = FileNode | DirectoryNode;

/** What a power cut leaves of what was not synced: nothing; names without bytes; names with half of the bytes. */
export const cuts = ["nothing", "names", "half"] as const;
export type Cut = (typeof cuts)[number];

/** Contents by path; null for a directory, which comes before what is in it. */
export type DiskState = ReadonlyMap<string, Buffer | null>;

export class Disk {
  readonly root: string;
  readonly #top = new DirectoryNode();

  constructor(root: string) {
    this.root = root;
  }

  has(path: string): boolean {
    return path === this.root || path.startsWith(`${this.root}${sep}`);
  }

  makeDirectory(path: string): void {
    let at = this.#top;
    for (const part of this.#parts(path)) {
      const known = at.now.get(part);
      const next = known instanceof DirectoryNode ? known : new DirectoryNode();
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
    slot.directory.now.set(slot.name, file);
    return file;
  }

  write(file: FileNode, bytes: Uint8Array): void {
    file.written = Buffer.concat([file.written, bytes]);
  }

  sync(file: FileNode): void {
    file.synced = file.written;
  }

  syncDirectory(path: string): void {
    const directory = this.#find(path);
    if (!(directory instanceof DirectoryNode)) return;
    directory.synced.clear();
    for (const [name, node] of directory.now) directory.synced.set(name, node);
  }

  /** False for what was made behind the model's back. */
  rename(from: string, to: string): boolean {
    const [source, target] = [this.#slot(from), this.#slot(to)];
    const node = source?.directory.now.get(source.name);
    if (source === undefined || target === undefined || node === undefined) return false;
    source.directory.now.delete(source.name);
    target.directory.now.set(target.name, node);
    return true;
  }

  remove(path: string): boolean {
    const slot = this.#slot(path);
    return slot?.directory.now.delete(slot.name) === true;
  }

  after(cut: Cut): DiskState {
    const state = new Map<string, Buffer | null>();
    const visit = (directory: DirectoryNode, path: string): void => {
      for (const [name, node] of cut === "nothing" ? directory.synced : directory.now) {
        const own = join(path, name);
        state.set(own, node instanceof FileNode ? bytesOf(node, cut) : null);
        if (node instanceof DirectoryNode) visit(node, own);
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
    for (const part of this.#parts(path)) at = at instanceof DirectoryNode ? at.now.get(part) : undefined;
    return at;
  }

  #slot(path: string): { directory: DirectoryNode; name: string } | undefined {
    const directory = this.#find(join(path, ".."));
    const name = this.#parts(path).at(-1);
    return directory instanceof DirectoryNode && name !== undefined ? { directory, name } : undefined;
  }
}

export type { FileNode };

function bytesOf(file: FileNode, cut: Cut): Buffer {
  if (cut !== "half") return file.synced;
  const unsynced = file.written.length - file.synced.length;
  return file.written.subarray(0, file.synced.length + Math.floor(unsynced / 2));
}

/** Puts a state into a directory that is there and empty. `changed` gives a file's bytes as the next boot finds them. */
export async function writeState(
  state: DiskState,
  directory: string,
  changed: (bytes: Buffer) => Buffer = (bytes) => bytes,
): Promise<void> {
  for (const [path, bytes] of state) {
    if (bytes === null) await mkdir(join(directory, path), { mode: 0o700 });
    else await writeFile(join(directory, path), changed(bytes), { mode: 0o600 });
  }
}
