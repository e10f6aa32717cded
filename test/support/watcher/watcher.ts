/** A program that says what inotify tells it (`watcher.c`), for containers: Debian's static busybox has none. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { projectFolder } from "../project.js";

/** Builds it as `FOLDER/watcher`; answers the path. */
export async function buildWatcher(folder: string): Promise<string> {
  const program = join(folder, "watcher");
  const source = join(projectFolder, "test/support/watcher/watcher.c");
  await promisify(execFile)("cc", ["-static", "-O1", "-Wall", "-Wextra", "-Werror", "-o", program, source]);
  return program;
}
