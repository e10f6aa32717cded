import { readdir } from "node:fs/promises";
import { isNotFound } from "./errors.js";

/** Names of what is in a folder; none when it is not there. */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (thrown) {
    if (isNotFound(thrown)) return [];
    throw thrown;
  }
}
