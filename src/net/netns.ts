import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { closedDirectory } from "../base/closed-directory.js";
import { isNotFound } from "../base/errors.js";
import type { SandboxId } from "../base/ids.js";
import type { Native } from "../native/addon.js";

/** Digits of the sandbox's id that name its network namespace. */
const nameDigits = 24;

/** The network namespaces of a daemon's sandboxes: files below its state folder that hold them open. */
export interface NetworkNamespaces {
  pathOf(id: SandboxId): string;
  /** Makes it, with the loopback up, and returns its path. Undoes itself. */
  create(id: SandboxId): Promise<string>;
  /** Success when it is not there. */
  remove(id: SandboxId): Promise<void>;
  /** First 24 digits of the ids of all that are held. */
  list(): Promise<string[]>;
}

export function networkNamespaces(state: string, native: Native): NetworkNamespaces {
  const folder = join(state, "netns");
  const pathOf = (id: SandboxId): string => join(folder, id.slice(0, nameDigits));
  return {
    pathOf,
    create: async (id) => {
      await closedDirectory(folder);
      const path = pathOf(id);
      await native.createNetns(path);
      return path;
    },
    remove: async (id) => {
      await native.removeNetns(pathOf(id));
    },
    list: async () => {
      try {
        return await readdir(folder);
      } catch (thrown) {
        if (isNotFound(thrown)) return [];
        throw thrown;
      }
    },
  };
}
