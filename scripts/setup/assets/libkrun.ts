import { copyFile, mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { RuntimeError } from "../../../src/base/errors.js";
import { installSystemPackages } from "../apt/system-packages.js";
import { cached } from "../cache.js";
import { sourceInputs } from "../fingerprint.js";
import { run, type SetupContext, tryRun } from "../run.js";
import { cargo, ensureRust, rustInputs } from "./rust.js";

const crate = "native-deps/libkrun";

/** Calls of the launcher that older or smaller builds of libkrun lack. */
const needed = ["krun_add_virtiofs4", "krun_add_net_tap", "krun_add_vsock_port2", "krun_disable_implicit_init"];

/** The path of a `libkrun.so.1`: the system's where it has all we call, else one built from the published crate. */
export async function libkrun(context: SetupContext): Promise<string> {
  const installed = await systemLibkrun(context);
  if (installed !== undefined) return installed;
  await ensureRust(context);
  const inputs = [...(await sourceInputs(context.root, [crate])), ...(await rustInputs(context))];
  const folder = await cached(context, {
    name: "libkrun",
    inputs,
    build: async (place, logFile) => {
      await installSystemPackages(context, { names: ["gcc", "libc6-dev"], fromBackports: [] });
      const target = await mkdtemp(join(place, "target-"));
      const args = ["build", "--release", "--locked", "--target-dir", target];
      await cargo(context, args, { cwd: join(context.root, crate), logFile });
      const built = join(target, "release/deps");
      const library = (await readdir(built)).find((name) => /^libkrun-[0-9a-f]+\.so$/.test(name));
      if (library === undefined) throw new RuntimeError("internal", "cargo made no libkrun-*.so");
      await copyFile(join(built, library), join(place, "libkrun.so.1"));
      await rm(target, { recursive: true });
      if (!(await hasSymbols(context, join(place, "libkrun.so.1")))) {
        throw new RuntimeError("internal", `the built libkrun lacks one of ${needed.join(", ")}`);
      }
    },
  });
  return join(folder, "libkrun.so.1");
}

async function systemLibkrun(context: SetupContext): Promise<string | undefined> {
  const known = await tryRun("/sbin/ldconfig", ["-p"], { signal: context.signal });
  const path = /libkrun\.so\.1 \([^)]*\) => (\S+)/.exec(known ?? "")?.[1];
  return path !== undefined && (await hasSymbols(context, path)) ? path : undefined;
}

async function hasSymbols(context: SetupContext, path: string): Promise<boolean> {
  const table = await run("readelf", ["-W", "--dyn-syms", path], { signal: context.signal });
  return needed.every((name) => new RegExp(`\\b${name}$`, "m").test(table));
}
