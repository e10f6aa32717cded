import { readFile } from "node:fs/promises";
import { isNotFound } from "./errors.js";

/** What is in a file; "" when it is not there. */
export async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (thrown) {
    if (isNotFound(thrown)) return "";
    throw thrown;
  }
}
