/** Directories of skills, as people have them, and as kubelet mounts a ConfigMap. */
import { mkdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

export const skillText = (name: string, description = `what ${name} is for`): string =>
  `---\nname: ${name}\ndescription: ${description}\n---\n# ${name}\n`;

export async function putFile(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
}

/** All of it in one moment, by a swap of `..data`, as kubelet's AtomicWriter does it. */
export async function project(
  directory: string,
  files: Readonly<Record<string, string>>,
  moment: string,
): Promise<void> {
  for (const [path, text] of Object.entries(files)) await putFile(join(directory, `..${moment}`, path), text);
  await symlink(`..${moment}`, join(directory, "..data_tmp"));
  await rename(join(directory, "..data_tmp"), join(directory, "..data"));
  for (const top of new Set(Object.keys(files).map((path) => path.split("/")[0] ?? ""))) {
    await rm(join(directory, top), { force: true });
    await symlink(join("..data", top), join(directory, top));
  }
}
