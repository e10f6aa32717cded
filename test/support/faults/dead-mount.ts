/** A file system that is mounted and never answers, as an NFS mount whose server has gone: FUSE without a server. */
import { spawnSync } from "node:child_process";
import { closeSync, constants, existsSync, openSync, readSync, writeSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Undefined where the machine has no FUSE. */
export const canDie = existsSync("/dev/fuse");

const initOpcode = 26;

/** fuse_out_header and fuse_init_out: version 7.31, no abilities. */
function initAnswer(request: bigint): Buffer {
  const answer = Buffer.alloc(16 + 64);
  answer.writeUInt32LE(answer.length, 0);
  answer.writeBigUInt64LE(request, 8);
  answer.writeUInt32LE(7, 16);
  answer.writeUInt32LE(31, 20);
  answer.writeUInt32LE(4096, 16 + 20); // the most that a write has
  return answer;
}

export class DeadMount implements AsyncDisposable {
  /** Whoever looks there, or below, waits until it ends. */
  readonly path: string;
  /** Whether somebody waits for what was taken. */
  holds = false;
  #device: number | undefined;
  #asked: NodeJS.Timeout | undefined;

  private constructor(path: string, device: number) {
    this.path = path;
    this.#device = device;
  }

  static async make(): Promise<DeadMount> {
    return DeadMount.over(await mkdtemp(join(tmpdir(), "a3s-dead-")));
  }

  /** Over a directory that is there, and in use: its disk is dead from now on. */
  static over(path: string): DeadMount {
    const device = openSync("/dev/fuse", constants.O_RDWR | constants.O_NONBLOCK); // nobody ever reads what is asked
    const options = "fd=3,rootmode=40000,user_id=0,group_id=0";
    const mounted = spawnSync("mount", ["-i", "-t", "fuse", "dead", path, "-o", options], {
      stdio: ["ignore", "ignore", "pipe", device],
    });
    if (mounted.status !== 0) throw new Error(`can't mount FUSE: ${String(mounted.stderr)}`);
    return new DeadMount(path, device);
  }

  /**
   * One whose server has taken what it is asked, and then died: not even a signal ends who waits there (the D of ps).
   * linux/fuse.h: a request has 40 bytes of header, and an answer 16, each with its length and the request's number.
   */
  static async makeThatHolds(): Promise<DeadMount> {
    const made = await DeadMount.make();
    const request = Buffer.alloc(1 << 20);
    // Not a read that blocks: it would keep the device open behind end().
    made.#asked = setInterval(() => {
      try {
        readSync(made.#device ?? -1, request);
      } catch {
        return; // nothing was asked
      }
      if (request.readUInt32LE(4) === initOpcode) writeSync(made.#device ?? -1, initAnswer(request.readBigUInt64LE(8)));
      else made.holds = true;
    }, 5);
    return made;
  }

  /** All who wait are answered: it is gone. */
  end(): void {
    clearInterval(this.#asked);
    if (this.#device !== undefined) closeSync(this.#device);
    this.#device = undefined;
  }

  /** What it lay over is there again. */
  uncover(): void {
    this.end();
    spawnSync("umount", ["--lazy", this.path]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.uncover();
    await rm(this.path, { recursive: true });
  }
}
