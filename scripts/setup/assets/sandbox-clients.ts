import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { installSystemPackages } from "../apt/system-packages.js";
import { cached } from "../cache.js";
import { run, type SetupContext } from "../run.js";
import { goPrograms } from "./go-programs.js";

/** Pins grpcurl, and all that it is built from. */
const grpcurlFolder = "test/support/grpcurl";
const grpcurlPrograms = { grpcurl: "github.com/fullstorydev/grpcurl/cmd/grpcurl" };
/** Pins the Python clients of sandboxes that others have written, and all that they need. */
const requirements = "test/support/python-clients/requirements.txt";

/** Folder with a `grpcurl`; undefined without a Go that can build it: what needs it is skipped then, and says so. */
export async function grpcurl(context: SetupContext): Promise<string | undefined> {
  return await goPrograms(context, "grpcurl", grpcurlFolder, grpcurlPrograms);
}

/** Folder with packages for `PYTHONPATH`: it has no paths of its own in it, and may be moved. */
export async function pythonClients(context: SetupContext): Promise<string> {
  await installSystemPackages(context, { names: ["python3", "python3-pip"], fromBackports: [] });
  const file = join(context.root, requirements);
  const version = await run("python3", ["--version"], { signal: context.signal });
  return await cached(context, {
    name: "python-clients",
    inputs: [version, await readFile(file, "utf8")],
    build: async (folder, logFile) => {
      const args = ["-m", "pip", "install", "--only-binary", ":all:", "--no-deps", "--target", folder, "-r", file];
      await run("python3", args, { signal: context.signal, logFile });
    },
  });
}
