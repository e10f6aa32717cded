import { installSystemPackages } from "../apt/system-packages.js";
import { cached } from "../cache.js";
import type { SetupContext } from "../run.js";
import { join } from "node:path";
import { sourceInputs } from "../fingerprint.js";
import { ensureRust, patchedCrateProgram, rustInputs } from "./rust.js";

export const virtiofsdCrate = {
  name: "virtiofsd",
  version: "1.14.0",
  sha256: "7051accc9cf2816e25945c8216e6d4be2b4e75fc5e77559cd7eed5e400245cc1",
};

const patches = "native-deps/virtiofsd/patches";

/** The file server of the qemu driver. Debian 12 has none, and sid's needs a newer libc: built from its crate, with patches. */
export async function virtiofsd(context: SetupContext): Promise<string> {
  await ensureRust(context);
  return await cached(context, {
    name: "virtiofsd",
    inputs: [virtiofsdCrate.version, ...(await sourceInputs(context.root, [patches])), ...(await rustInputs(context))],
    build: async (directory, logFile) => {
      const names = ["gcc", "patch", "libc6-dev", "pkg-config", "libcap-ng-dev", "libseccomp-dev"];
      await installSystemPackages(context, { names, fromBackports: [] });
      const wish = { ...virtiofsdCrate, patches: join(context.root, patches) };
      await patchedCrateProgram(context, wish, directory, logFile);
    },
  });
}
