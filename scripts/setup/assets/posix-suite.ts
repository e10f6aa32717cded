import { installSystemPackages } from "../apt/system-packages.js";
import { cached } from "../cache.js";
import type { SetupContext } from "../run.js";
import { crateProgram, ensureRust, rustInputs } from "./rust.js";

const version = "0.2.2";
const sha256 = "bb5e2bea16df357ae879d1585bedaffe5913ab8f45e874f623b0b2f5555c8376";

/** The directory with `pjdfstest`, which asks a file system for what POSIX promises: static, to run in any container. */
export async function posixSuite(context: SetupContext): Promise<string> {
  await ensureRust(context);
  return await cached(context, {
    name: "posix-suite",
    inputs: [version, ...(await rustInputs(context))],
    build: async (directory, logFile) => {
      await installSystemPackages(context, { names: ["gcc", "libc6-dev"], fromBackports: [] });
      const crate = { name: "pjdfstest", version, sha256, more: ["--target", "x86_64-unknown-linux-gnu"] };
      const env = { RUSTFLAGS: "-C target-feature=+crt-static" };
      await crateProgram(context, crate, directory, { logFile, env });
    },
  });
}
