import { access } from "node:fs/promises";
import { isNotFound } from "./errors.js";

/** Whether there is something at the path; links are followed. Throws what keeps it from being seen. */
export async function isThere(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (thrown) {
    if (isNotFound(thrown)) return false;
    throw thrown;
  }
}

/** Whether this process may use the path so; `mode` as of access(2). */
export async function isUsable(path: string, mode: number): Promise<boolean> {
  return await access(path, mode).then(
    () => true,
    () => false,
  );
}
