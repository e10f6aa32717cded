import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { installSystemPackages } from "../apt/system-packages.js";
import { cached } from "../cache.js";
import { sourceInputs, toolVersion } from "../fingerprint.js";
import { run, type SetupContext } from "../run.js";

/** The directory with `a3s-box-launcher`: the program that becomes a Box under libkrun, and judges the machine's KVM. */
export async function launcher(context: SetupContext): Promise<string> {
  await installSystemPackages(context, { names: ["g++", "make", "libc6-dev"], fromBackports: [] });
  return await cached(context, {
    name: "launcher",
    inputs: await launcherInputs(context),
    build: async (directory, logFile) => {
      await buildLauncher(context, directory, [], logFile);
    },
  });
}

export async function launcherInputs(context: SetupContext): Promise<string[]> {
  const sources = await sourceInputs(context.root, ["launcher", "jail", "addon/unique_fd.h"]);
  return [...sources, await toolVersion("g++", context)];
}

/** Into the directory; `options` are the Makefile's. */
export async function buildLauncher(
  context: SetupContext,
  directory: string,
  options: readonly string[],
  logFile: string,
): Promise<void> {
  const work = await mkdtemp(join(directory, "work-"));
  const args = ["-C", join(context.root, "launcher"), `OUT=${work}`, "-j2", ...options];
  await run("make", args, { signal: context.signal, logFile });
  await copyFile(join(work, "a3s-box-launcher"), join(directory, "a3s-box-launcher"));
  await rm(work, { recursive: true });
}
