import { copyFile, cp, mkdtemp, rm, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { RuntimeError } from "../../../src/base/errors.js";
import { installSystemPackages } from "../apt/system-packages.js";
import { cached, exists } from "../cache.js";
import { sourceInputs, toolVersion } from "../fingerprint.js";
import { run, type SetupContext } from "../run.js";

const compilers = ["g++", "make", "python3", "libc6-dev"];

/** The directory with `a3s_box.node`. */
export async function addon(context: SetupContext): Promise<string> {
  await installSystemPackages(context, { names: compilers, fromBackports: [] });
  return await cached(context, {
    name: "addon",
    inputs: await addonInputs(context),
    build: async (directory, logFile) => {
      await buildAddon(context, directory, {}, logFile);
    },
  });
}

export async function addonInputs(context: SetupContext): Promise<string[]> {
  const sources = await sourceInputs(context.root, [
    "addon",
    "binding.gyp",
    "node_modules/node-addon-api/package.json",
  ]);
  return [...sources, process.version, process.arch, await toolVersion("g++", context)];
}

/** Into the directory. Built in a copy: node-gyp's own place, `build/`, is where the assets lie. */
export async function buildAddon(
  context: SetupContext,
  directory: string,
  env: Readonly<Record<string, string>>,
  logFile: string,
): Promise<void> {
  const nodedir = await nodeHeaders(context);
  const work = await mkdtemp(join(directory, "work-"));
  await cp(join(context.root, "addon"), join(work, "addon"), { recursive: true });
  for (const name of ["binding.gyp", "package.json"]) await copyFile(join(context.root, name), join(work, name));
  await symlink(join(context.root, "node_modules"), join(work, "node_modules"));
  const gyp = join(context.root, "node_modules/node-gyp/bin/node-gyp.js");
  const args = [gyp, "configure", "build", "--release", `--nodedir=${nodedir}`, "--jobs=2"];
  await run(process.execPath, args, { signal: context.signal, cwd: work, logFile, env });
  await copyFile(join(work, "build/Release/a3s_box.node"), join(directory, "a3s_box.node"));
  await rm(work, { recursive: true });
}

/** Node's headers as they came with it: node-gyp would else download them from where only the open internet leads. */
async function nodeHeaders(context: SetupContext): Promise<string> {
  const prefix = dirname(dirname(process.execPath));
  const header = join(prefix, "include/node/node_api.h");
  if (await exists(header)) return prefix;
  // Debian's own nodejs has them in a package of their own, at the same place.
  if (prefix === "/usr") await installSystemPackages(context, { names: ["libnode-dev"], fromBackports: [] });
  if (await exists(header)) return prefix;
  throw new RuntimeError("failedPrecondition", `no Node headers at ${header}`, {
    hint: "install Node from a package or archive that contains include/node",
  });
}
