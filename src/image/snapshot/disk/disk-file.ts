/**
 * A file of the size that a container may write, with an ext4 in it that this host's kernel alone has written: a guest has
 * files in it, never its blocks. It is mounted below the container's directory until all of it is shared; after that whoever
 * serves it has the only mounts, and the loop device is free when the last of them ends (docs/adr/0110).
 */
import { execFile } from "node:child_process";
import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { errnoOf, messageOf, RuntimeError } from "../../../base/errors.js";
import type { Native } from "../../../native/addon.js";
import { inodesOf } from "./bound.js";

const program = "mke2fs";
/** Where it is, also for who has no directories of system programs in PATH. */
const systemPath = "/usr/sbin:/sbin:/usr/bin:/bin";
/** Whole blocks, which the file has to be made of. */
const blockBytes = 4096n;
/**
 * Named one by one, whatever mke2fs.conf(5) adds: a newer mke2fs knows of some that this kernel doesn't. No journal: the file
 * system is mounted once, and never after a crash.
 */
const features = [
  ...["none", "extent", "filetype", "flex_bg", "dir_index", "ext_attr", "large_file", "huge_file", "dir_nlink"],
  ...["extra_isize", "sparse_super", "metadata_csum", "64bit"],
].join(",");

/** Where its writes take the host's space. */
export function diskFilePath(container: string): string {
  return join(container, "disk.img");
}

/** Where it is mounted while the container is being made. */
export function diskPath(container: string): string {
  return join(container, "disk");
}

/** Made and mounted. What fails half way goes with the container's directory. */
export async function makeDiskFile(
  native: Native,
  container: string,
  bytes: bigint,
  signal: AbortSignal,
): Promise<void> {
  const file = diskFilePath(container);
  const made = await open(file, "wx", 0o600);
  try {
    await made.truncate(Number(bytes - (bytes % blockBytes)));
  } finally {
    await made.close();
  }
  await format(file, bytes, signal);
  await mkdir(diskPath(container), { mode: 0o700 });
  await mount(native, container);
}

/** Lazily: who has it open or has mounted what is in it keeps it. Success when it is not mounted. */
export async function unmountDisk(native: Pick<Native, "unmount">, container: string): Promise<void> {
  await native.unmount(diskPath(container), true);
}

async function format(file: string, bytes: bigint, signal: AbortSignal): Promise<void> {
  const shape = ["-t", "ext2", "-b", String(blockBytes), "-I", "256", "-N", String(inodesOf(bytes)), "-m", "0"];
  const options = "lazy_itable_init=1,nodiscard,root_owner=0:0";
  const args = ["-q", "-F", ...shape, "-O", features, "-E", options, file];
  try {
    await promisify(execFile)(program, args, {
      env: { PATH: systemPath, MKE2FS_CONFIG: "/dev/null" },
      signal,
      killSignal: "SIGKILL",
    });
  } catch (cause) {
    if (signal.aborted) throw cause;
    if (errnoOf(cause) === "ENOENT") {
      throw new RuntimeError("failedPrecondition", `${program} is not on this machine`, {
        hint: "apt install e2fsprogs; without a bound: sandboxes.disk_bound",
        cause,
      });
    }
    throw cause;
  }
}

/** What may be missing is loop devices, the right to have one, or ext4. */
async function mount(native: Native, container: string): Promise<void> {
  try {
    await native.mountFileDisk(diskFilePath(container), diskPath(container));
  } catch (cause) {
    throw new RuntimeError("failedPrecondition", `a file can't be mounted as a disk: ${messageOf(cause)}`, {
      hint: "modprobe loop; in a container: /dev/loop-control and block devices 7:* (a privileged one has them); without a bound: sandboxes.disk_bound",
      cause,
    });
  }
}
