import { createHash } from "node:crypto";
import { join } from "node:path";
import { closedDirectory } from "../../base/closed-directory.js";
import { isThere } from "../../base/is-there.js";
import { writeFileAtomic } from "../../base/record-file.js";
import type { ContainerSpec, MountSpec } from "../../runtime/container/container-spec.js";
import type { AgentFile } from "./preset.js";
import type { PlannedAgent } from "./presets.js";

/** Readable for every user: nothing in it is secret. */
const fileMode = 0o644;
const plainMount: Omit<MountSpec, "hostPath" | "containerPath"> = {
  ...{ readonly: true, recursiveReadonly: false, propagation: "private", options: [], imageSubPath: "" },
  ...{ uidMappings: [], gidMappings: [], selinuxRelabel: false },
};

/** Their files on this machine: one for each content, whichever pods have it. They come of the configuration, so there are few. */
export class AgentFiles {
  readonly #directory: string;
  readonly #placed = new Map<string, Promise<string>>();

  /** Of the daemon alone, below its state: what is in it ends with that. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Where it is. It is never written to again: containers have it mounted. */
  async place({ content }: Pick<AgentFile, "content">): Promise<string> {
    const name = createHash("sha256").update(content).digest("hex").slice(0, 32);
    const known = this.#placed.get(name);
    if (known !== undefined) return await known;
    const placing = this.#write(name, content);
    this.#placed.set(name, placing);
    try {
      return await placing;
    } catch (thrown) {
      this.#placed.delete(name); // who asks again begins anew
      throw thrown;
    }
  }

  async #write(name: string, content: string): Promise<string> {
    await closedDirectory(this.#directory);
    const path = join(this.#directory, name);
    if (!(await isThere(path))) await writeFileAtomic(path, content, fileMode);
    return path;
  }
}

/** A container of a pod with its agent's variables and files; what it sets and mounts itself stays. */
export async function withAgent(
  spec: ContainerSpec,
  { environment, files }: Pick<PlannedAgent, "environment" | "files">,
  placed: AgentFiles,
): Promise<ContainerSpec> {
  const set = new Set(spec.env.map(({ name }) => name));
  const env = Object.entries(environment)
    .filter(([name]) => !set.has(name))
    .map(([name, value]) => ({ name, value }));
  const taken = new Set(spec.mounts.map(({ containerPath }) => containerPath));
  const mounts = files
    .filter(({ path }) => !taken.has(path))
    .map(async (file) => ({ ...plainMount, hostPath: await placed.place(file), containerPath: file.path }));
  return { ...spec, env: [...spec.env, ...env], mounts: [...spec.mounts, ...(await Promise.all(mounts))] };
}
