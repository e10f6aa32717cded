import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fingerprint, sourceInputs } from "./fingerprint.js";
import { run, type SetupContext } from "./run.js";

const inputs = [
  "src",
  "proto",
  "buf.gen.yaml",
  "buf.yaml",
  "tsconfig.json",
  "tsconfig.build.json",
  "scripts/bundle.mjs",
  "package-lock.json",
];

/** Compiles the daemon to `dist/`, and the generated code on the way, unless both are of these sources. */
export async function buildDist(context: SetupContext): Promise<void> {
  const stamp = join(context.root, "dist/.inputs");
  // The generated code is made from the proto, so its absence is all that has to be seen of it.
  const sources = (await sourceInputs(context.root, inputs)).filter((line) => !line.startsWith("src/gen/"));
  const generated = (await readFile(join(context.root, "src/gen/runtime/v1/api.ts"), "utf8").catch(() => "")) !== "";
  const wanted = fingerprint(sources);
  const present = await readFile(stamp, "utf8").catch(() => "");
  if (generated && present === wanted) return;
  context.say("dist: compiling");
  // Types are the matter of `npm run check`; without them this takes a third of the time.
  await run("npm", ["run", "build", "--", "--noCheck"], { signal: context.signal, cwd: context.root });
  await writeFile(stamp, wanted);
}
