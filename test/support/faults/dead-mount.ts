/** A file system that is mounted and never answers, as an NFS mount whose server has gone: FUSE without a server. */
import { spawnSync } from "node:child_process";
import { closeSync, existsSync, openSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Undefined where the machine has no FUSE. */
export const canDie = existsSync("/dev/fuse");

export class DeadMount implements AsyncDisposable {
  /** Whoever looks there, or below, waits until it ends. */
  readonly path: string;
  #device: number | undefined;

  private constructor(path: string, device: number) {
    this.path = path;
    this.#device = device;
  }

  static async make(): Promise<DeadMount> {
    const path = await mkdtemp(join(tmpdir(), "a3s-dead-"));
    const device = openSync("/dev/fuse", "r+"); // nobody ever reads what is asked
    const options = "fd=3,rootmode=40000,user_id=0,group_id=0";
    const mounted = spawnSync("mount", ["-i", "-t", "fuse", "dead", path, "-o", options], {
      stdio: ["ignore", "ignore", "pipe", device],
    });
    if (mounted.status !== 0) throw new Error(`can't mount FUSE: ${String(mounted.stderr)}`);
    return new DeadMount(path, device);
  }

  /** All who wait are answered: it is gone. */
  end(): void {
    if (this.#device !== undefined) closeSync(this.#device);
    this.#device = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.end();
    spawnSync("umount", ["--lazy", this.path]);
    await rm(this.path, { recursive: true });
  }
}
