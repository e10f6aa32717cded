/** A program that says what inotify tells it (`watcher.c`), for containers: Debian's static busybox has none. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { projectDirectory } from "../project.js";

/** Builds it as `DIRECTORY/watcher`; answers the path. */
export async function buildWatcher(directory: string): Promise<string> {
  const program = join(directory, "watcher");
  const source = join(projectDirectory, "test/support/watcher/watcher.c");
  await promisify(execFile)("cc", ["-static", "-O1", "-Wall", "-Wextra", "-Werror", "-o", program, source]);
  return program;
}
