import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { privateApt } from "../apt/private-apt.js";
import { downloadPinned, packageFacts, unpack } from "../apt/packages.js";
import { cached } from "../cache.js";
import { sourceInputs } from "../fingerprint.js";
import { run, type SetupContext } from "../run.js";

/** The guest kernel's package. In no stable release yet; it has no dependencies, so one file of sid is enough. */
const libkrunfw = {
  name: "libkrunfw5",
  version: "5.5.0+ds-1",
  sha256: "20c37f213b618690422dd6c16e7c0a605e568c1e89447e2c7e9e6e44563f1fde",
};

const converter = "scripts/setup/vmlinux-elf.c";

/** The package's guest kernel as `vmlinux.elf`, with what its package is and its licence beside it. */
export async function kernel(context: SetupContext): Promise<string> {
  const inputs = [libkrunfw.version, libkrunfw.sha256, "layout 2", ...(await sourceInputs(context.root, [converter]))];
  return await cached(context, {
    name: "kernel",
    inputs,
    build: async (directory, logFile) => {
      // testing carries a version for months after sid has gone on.
      const apt = await privateApt(context, { name: "sid", suites: ["sid", "testing"], onTopOfMachine: false });
      const work = await mkdtemp(join(directory, "work-"));
      const deb = await downloadPinned(context, apt, libkrunfw, work);
      const unpacked = join(work, "unpacked");
      await mkdir(unpacked);
      await unpack(context, deb, unpacked);
      const tool = join(work, "vmlinux-elf");
      const options = { signal: context.signal, logFile };
      await run(
        "cc",
        ["-O1", "-Wall", "-Wextra", "-Werror", "-o", tool, join(context.root, converter), "-ldl"],
        options,
      );
      const library = join(unpacked, "usr/lib/x86_64-linux-gnu/libkrunfw.so.5");
      await run(tool, [library, join(directory, "vmlinux.elf")], options);
      await copyFile(join(unpacked, "usr/share/doc", libkrunfw.name, "copyright"), join(directory, "copyright"));
      await writeFile(join(directory, "package.json"), JSON.stringify(await packageFacts(context, deb)));
      await rm(work, { recursive: true });
    },
  });
}
