import { access } from "node:fs/promises";
import { join } from "node:path";
import { projectDirectory } from "./project.js";

/** The static busybox of Debian's busybox-static, where the set-up puts it. */
export async function busyboxProgram(): Promise<string> {
  const path = join(projectDirectory, "build/assets/image/busybox");
  try {
    await access(path);
  } catch (cause) {
    throw new Error(`no ${path} (run the set-up)`, { cause });
  }
  return path;
}
