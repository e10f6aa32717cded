import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { closedDirectory } from "../base/closed-directory.js";
import { isNotFound } from "../base/errors.js";
import type { PodId } from "../base/ids.js";
import type { Native } from "../native/addon.js";

/** Digits of the sandbox's id that name its network namespace. */
const nameDigits = 24;

/** The network namespaces of a daemon's sandboxes: files below its state directory that hold them open. */
export interface NetworkNamespaces {
  pathOf(id: PodId): string;
  /** Makes it, with the loopback up, and returns its path. Undoes itself. */
  create(id: PodId): Promise<string>;
  /** Success when it is not there. */
  remove(id: PodId): Promise<void>;
  /** First 24 digits of the ids of all that are held. */
  list(): Promise<string[]>;
}

export function networkNamespaces(state: string, native: Native): NetworkNamespaces {
  const directory = join(state, "netns");
  const pathOf = (id: PodId): string => join(directory, id.slice(0, nameDigits));
  return {
    pathOf,
    create: async (id) => {
      await closedDirectory(directory);
      const path = pathOf(id);
      await native.createNetns(path);
      return path;
    },
    remove: async (id) => {
      await native.removeNetns(pathOf(id));
    },
    list: async () => {
      try {
        return await readdir(directory);
      } catch (thrown) {
        if (isNotFound(thrown)) return [];
        throw thrown;
      }
    },
  };
}
