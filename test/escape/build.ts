/** The suite's own programs, static, so that they run in a guest too. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { projectDirectory } from "../support/project.js";

const sourceOf = (name: string): string => join(projectDirectory, "test/escape", `${name}.c`);
const strict = ["-O1", "-Wall", "-Wextra", "-Werror"];

/** Builds `NAME.c` of this directory, and what else is named, as `DIRECTORY/NAME`; answers the path. */
export async function build(name: string, directory: string, more: readonly string[] = []): Promise<string> {
  const program = join(directory, name);
  const sources = [name, ...more].map(sourceOf);
  await promisify(execFile)("cc", ["-static", ...strict, "-o", program, ...sources]);
  return program;
}

/** Builds them as a library at the path, on top of others. */
export async function buildLibrary(
  path: string,
  names: readonly string[],
  libraries: readonly string[] = [],
): Promise<void> {
  const sources = names.map(sourceOf);
  await promisify(execFile)("cc", ["-shared", "-fPIC", ...strict, "-o", path, ...sources, ...libraries]);
}
