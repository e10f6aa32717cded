/** The kernel that Boxes of a run have, and the programs that ask it for what a node's kernel has. */
import { execFile } from "node:child_process";
import { readFile, realpath } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { isNotFound } from "../../../src/base/errors.js";
import { projectDirectory } from "../project.js";

const execute = promisify(execFile);
const kernel = join(projectDirectory, "build/assets/kernel/vmlinux.elf");

/** The configuration that the kernel in use was built with; undefined: it is the package's, which has none beside it. */
export async function builtConfig(): Promise<string | undefined> {
  try {
    return await readFile(join(dirname(await realpath(kernel)), "config"), "utf8");
  } catch (thrown) {
    if (isNotFound(thrown)) return undefined;
    throw thrown;
  }
}

/** Builds `tool` and `thirty-two-bits` into a directory, static. */
export async function buildTools(directory: string): Promise<void> {
  const source = (name: string): string => join(projectDirectory, "test/support/guest-kernel", name);
  const strict = ["-static", "-O1", "-Wall", "-Wextra", "-Werror"];
  await execute("cc", [...strict, "-o", join(directory, "tool"), source("tool.c")]);
  const object = join(directory, "thirty-two-bits.o");
  await execute("as", ["--32", "-o", object, source("thirty-two-bits.s")]);
  await execute("ld", ["-m", "elf_i386", "-o", join(directory, "thirty-two-bits"), object]);
}

/** Mounts of a container that let it run this machine's programs, in its own root. */
export const programsOfTheMachine = [
  { hostPath: "/usr", containerPath: "/usr", readonly: true },
  { hostPath: "/usr/lib", containerPath: "/lib", readonly: true },
  { hostPath: "/usr/lib64", containerPath: "/lib64", readonly: true },
];
