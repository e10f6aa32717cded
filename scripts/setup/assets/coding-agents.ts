import { copyFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import { cached } from "../cache.js";
import { run, type SetupContext } from "../run.js";

/** Pins the packages, with their digests. */
const directory = "test/support/coding-agents";
const files = ["package.json", "package-lock.json"];

/** Directory with `node_modules` of the coding agents that are tested in Boxes, as they are published: 600 MB. */
export async function codingAgents(context: SetupContext): Promise<string> {
  const sources = files.map((name) => join(context.root, directory, name));
  return await cached(context, {
    name: "coding-agents",
    inputs: await Promise.all(sources.map((path) => readFile(path, "utf8"))),
    build: async (place, logFile) => {
      for (const [at, path] of sources.entries()) await copyFile(path, join(place, files[at] ?? ""));
      const args = ["ci", "--prefix", place, "--ignore-scripts", "--no-audit", "--no-fund"];
      await run("npm", args, { signal: context.signal, logFile });
    },
  });
}
