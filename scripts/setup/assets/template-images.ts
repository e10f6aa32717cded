import { readdir, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { buildImages, templateNames } from "../../images/build.js";
import { downloadLayers, type LayerFiles, packageLayers, suite } from "../../images/packages.js";
import { cached } from "../cache.js";
import { sourceInputs } from "../fingerprint.js";
import { ociArchive } from "../oci-archive.js";
import type { SetupContext } from "../run.js";

/** The packages as they were when the first clone on this machine asked for them: a directory for each layer. */
async function templatePackages(context: SetupContext): Promise<string> {
  return await cached(context, {
    name: "template-packages",
    inputs: [suite, ...packageLayers.flatMap(({ name, packages }) => [name, ...packages])],
    build: async (directory) => {
      await downloadLayers(context, directory);
    },
  });
}

/** The directory with `TEMPLATE.tar` and `TEMPLATE.digest` for each. Another name is the same work once more. */
export async function templateImages(context: SetupContext, name = "template-images"): Promise<string> {
  const packages = await templatePackages(context);
  const sources = ["scripts/images", "scripts/setup/oci-archive.ts", "scripts/setup/image-layer.ts"];
  return await cached(context, {
    name,
    inputs: [basename(packages), ...(await sourceInputs(context.root, sources))],
    build: async (directory) => {
      const built = await buildImages(await filesOf(packages), context.signal);
      for (const template of templateNames) {
        const { tar, digest } = await ociArchive(built[template]);
        await writeFile(join(directory, `${template}.tar`), tar);
        await writeFile(join(directory, `${template}.digest`), digest);
      }
    },
  });
}

async function filesOf(packages: string): Promise<LayerFiles> {
  return await Promise.all(
    packageLayers.map(async ({ name }) =>
      (await readdir(join(packages, name))).sort().map((file) => join(packages, name, file)),
    ),
  );
}
