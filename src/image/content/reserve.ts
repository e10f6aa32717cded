/** A little of the disk kept back, so that an image can be removed when nothing else can be written. */
import { rm, stat, writeFile } from "node:fs/promises";
import { errnoOf } from "../../base/errors.js";
import type { StoreDirectory } from "./store-directory.js";

const reserveBytes = 256 * 1024;

/** Makes it where it is not there and there is room. */
export async function keepReserve(directory: StoreDirectory): Promise<void> {
  if ((await stat(directory.reserve).catch(() => undefined))?.size === reserveBytes) return;
  await writeFile(directory.reserve, Buffer.alloc(reserveBytes), { mode: 0o600 }).catch(async () => {
    await rm(directory.reserve, { force: true });
  });
}

/** Runs what makes room, a second time without the reserve when there is no space for it. */
export async function withReserve<T>(directory: StoreDirectory, makeRoom: () => Promise<T>): Promise<T> {
  try {
    return await makeRoom();
  } catch (thrown) {
    if (errnoOf(thrown) !== "ENOSPC") throw thrown;
    await rm(directory.reserve, { force: true });
    return await makeRoom();
  }
}
