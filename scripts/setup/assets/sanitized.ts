import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { cached } from "../cache.js";
import type { SetupContext } from "../run.js";
import { addonInputs, buildAddon } from "./addon.js";
import { buildLauncher, launcherInputs } from "./launcher.js";

/** What the compiler is asked for where no Makefile of ours knows SANITIZE. */
const flags = "-fsanitize=address,undefined -fno-sanitize-recover=all";

/** The launcher and the addon with AddressSanitizer and UBSan, for tests: laid out as `build/assets` is. */
export async function sanitized(context: SetupContext): Promise<string> {
  return await cached(context, {
    name: "sanitized",
    inputs: [...(await launcherInputs(context)), ...(await addonInputs(context)), flags],
    build: async (directory, logFile) => {
      for (const name of ["bin", "native"]) await mkdir(join(directory, name));
      await buildLauncher(context, join(directory, "bin"), ["SANITIZE=1"], logFile);
      const env = { CXXFLAGS: `-g -O1 -fno-omit-frame-pointer ${flags}`, LDFLAGS: flags };
      await buildAddon(context, join(directory, "native"), env, logFile);
    },
  });
}
