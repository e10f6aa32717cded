/** What disks of containers leave behind, and how full they can be made. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { constants } from "node:os";
import { join } from "node:path";
import { createLogger } from "../../src/base/log.js";
import { errnoOf } from "../../src/base/errors.js";
import { readMountinfo } from "../../src/base/mountinfo.js";
import type { Image, ImageStore } from "../../src/image/image-store.js";
import { openTestStore } from "./image-store.js";
import { busybox, writeArchive } from "./images.js";

export const mib = 1024 * 1024;

/** Files below that directory which a loop device has. */
export async function loopFiles(directory: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await readdir("/sys/block")) {
    if (!name.startsWith("loop")) continue;
    const file = await readFile(`/sys/block/${name}/loop/backing_file`, "utf8").catch(() => "");
    if (file.startsWith(`${directory}/`)) found.push(file.trim());
  }
  return found;
}

export async function mountsIn(directory: string): Promise<string[]> {
  return (await readMountinfo()).map(({ target }) => target).filter((target) => target.startsWith(`${directory}/`));
}

/** Writes files of 1 MiB until it is refused; by which error, and after how many. */
export async function fill(
  directory: string,
  mostMib: number,
): Promise<{ readonly errno: string; readonly mib: number }> {
  const block = Buffer.alloc(mib, 7);
  for (let at = 0; at < mostMib; at++) {
    try {
      await writeFile(join(directory, `full-${String(at)}`), block);
    } catch (thrown) {
      return { errno: nameOf(thrown), mib: at };
    }
  }
  return { errno: "none", mib: mostMib };
}

/** Makes empty files until it is refused. */
export async function fillInodes(
  directory: string,
  most: number,
): Promise<{ readonly errno: string; readonly files: number }> {
  for (let at = 0; at < most; at++) {
    try {
      await writeFile(join(directory, `empty-${String(at)}`), "");
    } catch (thrown) {
      return { errno: nameOf(thrown), files: at };
    }
  }
  return { errno: "none", files: most };
}

/** libuv has no name for EDQUOT. */
function nameOf(thrown: unknown): string {
  const isQuota = thrown instanceof Error && "errno" in thrown && thrown.errno === -constants.errno.EDQUOT;
  return isQuota ? "EDQUOT" : (errnoOf(thrown) ?? String(thrown));
}

/** A store with one image, in a directory of a file system of the test's. */
export async function storeIn(directory: string): Promise<{ readonly store: ImageStore; readonly image: Image }> {
  const store = await openTestStore(join(directory, "images"), { log: createLogger("error") });
  const archive = join(directory, "image.tar");
  await writeArchive(archive, [await busybox()]);
  const [image] = await store.importArchive(archive, AbortSignal.timeout(60_000));
  if (image === undefined) throw new Error("no image");
  return { store, image };
}
