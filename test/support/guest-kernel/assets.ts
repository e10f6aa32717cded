import { mkdir, readdir, stat, symlink } from "node:fs/promises";
import { join } from "node:path";
import { projectDirectory } from "../project.js";

const assets = join(projectDirectory, "build/assets");

export type KernelName = "own" | "package";

/** There, unless the set-up could not have it or had no use for it. */
export function kernelOf(name: KernelName): string {
  return join(assets, "kernel", name, "vmlinux.elf");
}

/** The assets of this checkout, with that kernel in place of theirs. */
export async function assetsWith(name: KernelName, below: string): Promise<string> {
  const directory = join(below, `assets-${name}`);
  await mkdir(join(directory, "kernel"), { recursive: true });
  for (const entry of await readdir(assets)) {
    if (entry !== "kernel") await symlink(join(assets, entry), join(directory, entry));
  }
  await stat(kernelOf(name));
  await symlink(kernelOf(name), join(directory, "kernel/vmlinux.elf"));
  return directory;
}
