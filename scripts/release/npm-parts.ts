/** The npm packages that are in the bundle: esbuild says which, and the lock file what each is. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { RuntimeError } from "../../src/base/errors.js";
import { hexOfIntegrity } from "./node.js";
import { isLicenceFile, type LicenceText, type Part } from "./parts.js";

const metafile = z.object({ inputs: z.record(z.string(), z.unknown()) });
const lockFile = z.object({
  packages: z.record(z.string(), z.object({ version: z.string().optional(), integrity: z.string().optional() })),
});
const manifest = z.object({ name: z.string(), license: z.string() });

export async function npmParts(root: string): Promise<Part[]> {
  const json = async (path: string): Promise<unknown> => JSON.parse(await readFile(join(root, path), "utf8"));
  const { inputs } = metafile.parse(await json("dist/bundle.json"));
  const { packages } = lockFile.parse(await json("package-lock.json"));
  const places = new Set(Object.keys(inputs).flatMap((path) => packageOf(path) ?? []));
  const parts: Part[] = [];
  for (const place of [...places].sort()) {
    const { name, license } = manifest.parse(await json(`${place}/package.json`));
    const { version, integrity } = packages[place] ?? {};
    if (version === undefined || integrity?.startsWith("sha512-") !== true) {
      throw new RuntimeError("internal", `${place} is in the bundle, and package-lock.json does not say what it is`);
    }
    parts.push({
      ...{ kind: "npm", name, version, licence: license, inclusion: "STATIC_LINK" },
      digest: { algorithm: "SHA512", hex: hexOfIntegrity(integrity) },
      purl: `pkg:npm/${name.replace("@", "%40")}@${version}`,
      texts: await textsIn(join(root, place)),
    });
  }
  return parts;
}

/** "node_modules/a/node_modules/@b/c" of a file in it; undefined for a file of ours. */
export function packageOf(path: string): string | undefined {
  return /^.*node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(path)?.[0];
}

export async function textsIn(directory: string): Promise<LicenceText[]> {
  const names = (await readdir(directory, { withFileTypes: true })).filter(
    (one) => one.isFile() && isLicenceFile(one.name),
  );
  const texts = names.map(async ({ name }) => ({ name, text: await readFile(join(directory, name), "utf8") }));
  return (await Promise.all(texts)).sort((a, b) => (a.name < b.name ? -1 : 1));
}
