/** The suite's own programs, static, so that they run in a guest too. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { projectFolder } from "../support/project.js";

/** Builds `NAME.c` of this folder as `FOLDER/NAME`; answers the path. */
export async function build(name: string, folder: string): Promise<string> {
  const program = join(folder, name);
  const source = join(projectFolder, "test/escape", `${name}.c`);
  await promisify(execFile)("cc", ["-static", "-O1", "-Wall", "-Wextra", "-Werror", "-o", program, source]);
  return program;
}
