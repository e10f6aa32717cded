/** A disk whose writers wait, as those of a storage that has gone away: ext4 in a file, frozen. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const bytes = 16 << 20;

export class FrozenDisk implements AsyncDisposable {
  /** Where it is mounted. */
  readonly path: string;
  readonly #directory: string;
  #isFrozen = false;

  private constructor(directory: string, path: string) {
    this.#directory = directory;
    this.path = path;
  }

  static async mount(): Promise<FrozenDisk> {
    const directory = await mkdtemp(join(tmpdir(), "a3s-frozen-"));
    const [file, path] = [join(directory, "disk"), join(directory, "mount")];
    await mkdir(path);
    await run("truncate", ["-s", String(bytes), file]);
    await run("mkfs.ext4", ["-q", file]);
    await run("mount", ["-o", "loop", file, path]);
    return new FrozenDisk(directory, path);
  }

  async freeze(): Promise<void> {
    await run("fsfreeze", ["--freeze", this.path]);
    this.#isFrozen = true;
  }

  async thaw(): Promise<void> {
    this.#isFrozen = false;
    await run("fsfreeze", ["--unfreeze", this.path]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isFrozen) await this.thaw();
    await run("umount", ["--lazy", this.path]); // a pod may have it yet
    await rm(this.#directory, { recursive: true, force: true });
  }
}
