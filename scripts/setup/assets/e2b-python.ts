import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../../../src/base/errors.js";
import { installSystemPackages } from "../apt/system-packages.js";
import { cached } from "../cache.js";
import { sourceInputs } from "../fingerprint.js";
import { run, type SetupContext } from "../run.js";

const source = "scripts/setup/assets/e2b-python.ts";
const requirements = "scripts/setup/assets/e2b-python.txt";

/** A virtual environment with E2B's Python SDKs as they are published; undefined, and said, where it can't be made. */
export async function e2bPython(context: SetupContext): Promise<string | undefined> {
  try {
    const list = join(context.root, requirements);
    return await cached(context, {
      name: "e2b-python",
      inputs: [await readFile(list, "utf8"), ...(await sourceInputs(context.root, [source]))],
      build: async (folder, logFile) => {
        await installSystemPackages(context, { names: ["python3-venv"], fromBackports: [] });
        // Programs of an environment know its path: it is moved to its place, and used by its interpreter alone.
        await run("python3", ["-m", "venv", folder], { signal: context.signal, logFile });
        const options = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--no-compile", "-r", list];
        await run(join(folder, "bin/python"), ["-m", "pip", "install", ...options], {
          signal: context.signal,
          logFile,
        });
      },
    });
  } catch (thrown) {
    context.signal.throwIfAborted();
    context.say(`what is tested with E2B's Python SDKs is skipped: ${messageOf(thrown)}`);
    return undefined;
  }
}
