import { copyFile, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { readPackage } from "../../images/deb.js";
import { FileTree } from "../../images/file-tree.js";
import { isStripped } from "../../images/stripped.js";
import { downloadClosure } from "../apt/packages.js";
import { privateApt } from "../apt/private-apt.js";
import { cached } from "../cache.js";
import { sourceInputs } from "../fingerprint.js";
import { tarOf } from "../image-layer.js";
import { withLock } from "../lock.js";
import type { SetupContext } from "../run.js";

export const debianRootNames = ["bookworm", "trixie"] as const;

/** A C library, a shell and the smallest tools: what a container's base has, and no more than a release may ask for. */
const names = ["base-files", "base-passwd", "libc6", "libc-bin", "coreutils", "dash", "bash", "tar", "gzip", "grep"];
const directories = ["dev", "etc", "proc", "root", "run", "sys", "tmp", "var/tmp", "var/lib"];

/** The directory with `NAME.tar` for each: the root of a machine of that release, for tests of what runs on one. */
export async function debianRoots(context: SetupContext): Promise<string> {
  const sources = ["scripts/setup/assets/debian-roots.ts", "scripts/images/deb.ts", "scripts/images/stripped.ts"];
  return await cached(context, {
    name: "debian-roots",
    inputs: [...debianRootNames, ...names, ...(await sourceInputs(context.root, sources))],
    build: async (directory) => {
      for (const suite of debianRootNames) {
        const debs = await download(context, suite, directory);
        await writeFile(join(directory, `${suite}.tar`), await rootOf(debs, context.signal));
      }
      for (const name of await readdir(directory)) {
        if (name.startsWith("work-")) await rm(join(directory, name), { recursive: true });
      }
    },
  });
}

async function download(context: SetupContext, suite: string, directory: string): Promise<string[]> {
  const apt = await privateApt(context, { name: `root-${suite}`, suites: [suite], onTopOfMachine: false });
  const work = await mkdtemp(join(directory, "work-"));
  return await withLock(join(context.cache, "locks", `apt-root-${suite}-files.lock`), context.signal, async () => {
    const debs = await downloadClosure(context, apt, names);
    for (const deb of debs) await copyFile(deb, join(work, basename(deb)));
    return debs.map((deb) => join(work, basename(deb)));
  });
}

async function rootOf(debs: readonly string[], signal: AbortSignal): Promise<Buffer> {
  const tree = new FileTree();
  for (const deb of debs) {
    for (const file of (await readPackage(deb, signal)).files) {
      if (!isStripped(file.path, file.kind)) tree.add(file);
    }
  }
  for (const name of ["bin", "sbin", "lib", "lib64"]) tree.put({ path: name, kind: "symlink", to: `usr/${name}` });
  for (const path of directories) tree.directory(path);
  tree.put({ path: "tmp", kind: "directory", mode: 0o1777 });
  for (const name of ["passwd", "group"]) {
    const content = tree.content(`usr/share/base-passwd/${name}.master`);
    tree.put({ path: `etc/${name}`, kind: "file", mode: 0o644, content });
  }
  return await tarOf(tree.takeLayer());
}
