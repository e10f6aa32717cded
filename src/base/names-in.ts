import { readdir } from "node:fs/promises";
import { isNotFound } from "./errors.js";

/** Names of what is in a directory; none when it is not there. */
export async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (thrown) {
    if (isNotFound(thrown)) return [];
    throw thrown;
  }
}
