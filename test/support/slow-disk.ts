/** A file system of its own, on a loop device, that can be made to stand still: writers wait in the kernel until it goes on. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { Undo } from "./undo.js";

const run = promisify(execFile);

export class SlowDisk {
  /** Where it is mounted. */
  readonly path: string;
  readonly #undo: Undo;
  #frozen = false;

  private constructor(path: string, undo: Undo) {
    this.path = path;
    this.#undo = undo;
  }

  static async create(mib: number): Promise<SlowDisk> {
    const undo = new Undo();
    try {
      const directory = await mkdtemp(join(tmpdir(), "a3s-d"));
      undo.add(() => rm(directory, { recursive: true, force: true }));
      const file = join(directory, "image");
      await using image = await open(file, "wx");
      await image.truncate(mib << 20);
      await run("mkfs.ext4", ["-q", "-O", "^has_journal", file]);
      const path = join(directory, "disk");
      await mkdir(path);
      await run("mount", ["-o", "loop", file, path]);
      undo.add(() => run("umount", [path]));
      return new SlowDisk(path, undo);
    } catch (thrown) {
      await undo.run();
      throw thrown;
    }
  }

  /** Nothing is written any more; who tries to waits. */
  async freeze(): Promise<void> {
    await run("fsfreeze", ["--freeze", this.path]);
    this.#frozen = true;
  }

  async thaw(): Promise<void> {
    if (!this.#frozen) return;
    this.#frozen = false;
    await run("fsfreeze", ["--unfreeze", this.path]);
  }

  async remove(): Promise<void> {
    await this.thaw();
    await this.#undo.run();
  }
}
