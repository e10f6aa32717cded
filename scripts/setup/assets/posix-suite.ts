import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { installSystemPackages } from "../apt/system-packages.js";
import { cached } from "../cache.js";
import type { SetupContext } from "../run.js";
import { cargo, ensureRust, rustInputs } from "./rust.js";

const version = "0.2.2";
const target = "x86_64-unknown-linux-gnu";

/** The folder with `pjdfstest`, which asks a file system for what POSIX promises: static, to run in any container. */
export async function posixSuite(context: SetupContext): Promise<string> {
  await ensureRust(context);
  return await cached(context, {
    name: "posix-suite",
    inputs: [version, ...(await rustInputs(context))],
    build: async (folder, logFile) => {
      await installSystemPackages(context, { names: ["gcc", "libc6-dev"], fromBackports: [] });
      const work = await mkdtemp(join(folder, "work-"));
      const args = ["install", "pjdfstest", "--version", version, "--locked", "--root", work, "--target", target];
      const env = { RUSTFLAGS: "-C target-feature=+crt-static" };
      await cargo(context, [...args, "--target-dir", join(work, "target")], { cwd: folder, logFile, env });
      await copyFile(join(work, "bin/pjdfstest"), join(folder, "pjdfstest"));
      await rm(work, { recursive: true });
    },
  });
}
