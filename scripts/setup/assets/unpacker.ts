import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { installSystemPackages } from "../apt/system-packages.js";
import { cached } from "../cache.js";
import { sourceInputs, toolVersion } from "../fingerprint.js";
import { run, type SetupContext } from "../run.js";

/** What it is built with; libisal-dev brings the library that it is loaded with. */
export const unpackerPackages = ["g++", "make", "libc6-dev", "libisal-dev", "libzstd-dev", "libssl-dev"];

/** The directory with `a3s-box-unpacker`: the program that unpacks a layer, a process for each. */
export async function unpacker(context: SetupContext): Promise<string> {
  await installSystemPackages(context, { names: unpackerPackages, fromBackports: [] });
  return await cached(context, {
    name: "unpacker",
    inputs: await inputsOf(context, []),
    build: async (directory, logFile) => {
      await build(context, { directory, name: "a3s-box-unpacker", options: [], logFile });
    },
  });
}

/** Those that only tests run: with sanitizers, and one that has a hostile layer's code in it. */
export async function testUnpackers(context: SetupContext): Promise<string> {
  await installSystemPackages(context, { names: unpackerPackages, fromBackports: [] });
  return await cached(context, {
    name: "test-unpackers",
    inputs: await inputsOf(context, ["test/image/hostile"]),
    build: async (directory, logFile) => {
      const reader = join(context.root, "test/image/hostile/hostile_reader.cc");
      await build(context, { directory, name: "hostile", options: [`READER=${reader}`], logFile });
      await build(context, { directory, name: "sanitized", options: ["SANITIZE=1"], logFile });
    },
  });
}

interface Built {
  readonly directory: string;
  readonly name: string;
  /** Of the Makefile. */
  readonly options: readonly string[];
  readonly logFile: string;
}

async function build(context: SetupContext, { directory, name, options, logFile }: Built): Promise<void> {
  const work = await mkdtemp(join(directory, "work-"));
  const args = ["-C", join(context.root, "unpacker"), `OUT=${work}`, "-j2", ...options];
  await run("make", args, { signal: context.signal, logFile });
  await copyFile(join(work, "a3s-box-unpacker"), join(directory, name));
  await rm(work, { recursive: true });
}

async function inputsOf(context: SetupContext, more: readonly string[]): Promise<string[]> {
  const sources = await sourceInputs(context.root, ["unpacker", "jail", "addon/unique_fd.h", ...more]);
  return [...sources, await toolVersion("g++", context)];
}
