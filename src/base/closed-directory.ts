import { chmod, mkdir } from "node:fs/promises";

/**
 * Makes a directory, with those above it, that nobody but its owner passes: what containers write below it can be set-uid.
 * One that is there, of an earlier daemon or of a package, is closed. `mode`: where others have to pass it after all.
 */
export async function closedDirectory(path: string, mode = 0o700): Promise<void> {
  await mkdir(path, { recursive: true, mode });
  await chmod(path, mode);
}
