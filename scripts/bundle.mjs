/**
 * Puts what the compiler has written into a few files: a start of the daemon opens some four hundred modules otherwise,
 * which takes most of it. `dist/main.js` stays what it is. Chunks lie as deep as the modules they are made of: these find
 * the package's files by their own place.
 */
import { rm, writeFile } from "node:fs/promises";
import { build } from "esbuild";

await rm("dist/bundle", { recursive: true, force: true });
const { metafile } = await build({
  entryPoints: { "cli/run-command-line": "dist/cli/run-command-line.js" },
  outdir: "dist",
  chunkNames: "bundle/[name]-[hash]",
  allowOverwrite: true,
  bundle: true,
  splitting: true,
  platform: "node",
  format: "esm",
  target: "node20",
  sourcemap: true,
  legalComments: "eof",
  metafile: true,
  // CommonJS packages ask for Node's modules by it.
  banner: {
    js: 'import { createRequire as requireOf } from "node:module"; const require = requireOf(import.meta.url);',
  },
  logLevel: "warning",
});
// What is in it, for a release's bill of materials.
await writeFile("dist/bundle.json", JSON.stringify(metafile));
