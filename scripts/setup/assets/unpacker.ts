import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { installSystemPackages } from "../apt/system-packages.js";
import { cached } from "../cache.js";
import { sourceInputs, toolVersion } from "../fingerprint.js";
import { run, type SetupContext } from "../run.js";

/** What it is built with; libisal-dev brings the library that it is loaded with. */
export const unpackerPackages = ["g++", "make", "libc6-dev", "libisal-dev", "libzstd-dev", "libssl-dev"];

/** The folder with `a3s-box-unpacker`: the program that unpacks a layer, a process for each. */
export async function unpacker(context: SetupContext): Promise<string> {
  await installSystemPackages(context, { names: unpackerPackages, fromBackports: [] });
  const sources = await sourceInputs(context.root, ["unpacker", "jail", "addon/unique_fd.h"]);
  const inputs = [...sources, await toolVersion("g++", context)];
  return await cached(context, {
    name: "unpacker",
    inputs,
    build: async (folder, logFile) => {
      const work = await mkdtemp(join(folder, "work-"));
      const args = ["-C", join(context.root, "unpacker"), `OUT=${work}`, "-j2"];
      await run("make", args, { signal: context.signal, logFile });
      await copyFile(join(work, "a3s-box-unpacker"), join(folder, "a3s-box-unpacker"));
      await rm(work, { recursive: true });
    },
  });
}
