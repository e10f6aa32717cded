/** `node build.mjs [FILE]`: the operator as one file, `dist/main.js`, which Node runs without any package beside it. */
import { join } from "node:path";
import { build } from "esbuild";

const here = import.meta.dirname;
/** Of the client's package we take the reading of kubeconfigs: its types of each object of the API would be most of the memory. */
const clientHasNoSideEffects = {
  name: "client-has-no-side-effects",
  setup(bundler) {
    bundler.onResolve({ filter: /./ }, async ({ path, pluginData, ...rest }) => {
      if (pluginData === "resolved" || !rest.importer.includes("@kubernetes/client-node")) return undefined;
      const { importer, kind, namespace, resolveDir } = rest;
      const found = await bundler.resolve(path, { importer, kind, namespace, resolveDir, pluginData: "resolved" });
      return found.path.includes("@kubernetes/client-node") ? { ...found, sideEffects: false } : found;
    });
  },
};

const { metafile } = await build({
  entryPoints: [join(here, "src/main.ts")],
  outfile: process.argv[2] ?? join(here, "dist/main.js"),
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node20",
  legalComments: "eof",
  metafile: true,
  plugins: [clientHasNoSideEffects],
  // CommonJS packages ask for Node's modules by it.
  banner: {
    js: 'import { createRequire as requireOf } from "node:module"; const require = requireOf(import.meta.url);',
  },
  logLevel: "warning",
});
const [bytes = 0] = Object.values(metafile.outputs).map((output) => output.bytes);
process.stdout.write(`the operator is ${(bytes / 1e6).toFixed(1)} MB\n`);
