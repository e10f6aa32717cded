import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { RuntimeError } from "../../../src/base/errors.js";
import { installSystemPackages } from "../apt/system-packages.js";
import { cached } from "../cache.js";
import { sourceInputs } from "../fingerprint.js";
import { withLock } from "../lock.js";
import { run, type SetupContext } from "../run.js";
import { cargo, ensureRust, rustInputs } from "./rust.js";

/** The directory with `agent`, the static program that is PID 1 of every Box. */
export async function agent(context: SetupContext): Promise<string> {
  await ensureRust(context);
  const inputs = [
    ...(await sourceInputs(context.root, ["guest", "proto/agent"])),
    ...(await rustInputs(context)),
    "layout 2",
  ];
  return await cached(context, {
    name: "agent",
    inputs,
    build: async (directory, logFile) => {
      const names = ["gcc", "libc6-dev", "pkg-config", "libseccomp-dev"];
      await installSystemPackages(context, { names, fromBackports: [] });
      // One target directory for all clones: after a change only the agent itself is compiled again. That it always is:
      // Cargo knows sources by their place in the workspace and their age, and would take another clone's for ours.
      const target = join(context.cache, "cargo-target", "agent");
      await withLock(join(context.cache, "locks", "cargo-target-agent.lock"), context.signal, async () => {
        const args = ["build", "--release", "--locked", "--bin", "agent", "--target-dir", target];
        const forget = ["clean", "--release", "--locked", "--package", "agent", "--target-dir", target];
        await cargo(context, forget, { cwd: join(context.root, "guest"), logFile });
        await cargo(context, args, { cwd: join(context.root, "guest"), logFile });
        await copyFile(join(target, "x86_64-unknown-linux-gnu/release/agent"), join(directory, "agent"));
      });
      const segments = await run("readelf", ["-lW", join(directory, "agent")], { signal: context.signal });
      if (segments.includes("INTERP")) {
        throw new RuntimeError("internal", "the agent is not static", { hint: "unset RUSTFLAGS" });
      }
    },
  });
}
