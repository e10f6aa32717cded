import { mkdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** A ConfigMap as kubelet's AtomicWriter writes it. */
export class ConfigMap {
  readonly directory: string;
  #version = 0;

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async make(directory: string, content: Readonly<Record<string, string>>): Promise<ConfigMap> {
    await mkdir(directory);
    const made = new ConfigMap(directory);
    await made.write(content);
    return made;
  }

  async write(content: Readonly<Record<string, string>>): Promise<void> {
    const [old, next] = [`..v${this.#version}`, `..v${++this.#version}`];
    await mkdir(join(this.directory, next));
    for (const [key, text] of Object.entries(content)) await writeFile(join(this.directory, next, key), text);
    await symlink(next, join(this.directory, "..data_tmp"));
    await rename(join(this.directory, "..data_tmp"), join(this.directory, "..data"));
    for (const key of Object.keys(content)) {
      await symlink(`..data/${key}`, join(this.directory, key)).catch((thrown: unknown) => {
        if (!(thrown instanceof Error && "code" in thrown && thrown.code === "EEXIST")) throw thrown;
      });
    }
    await rm(join(this.directory, old), { recursive: true, force: true });
  }
}
