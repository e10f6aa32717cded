import { cp, mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { downloadClosure, unpack } from "../apt/packages.js";
import { debianCodename, privateApt } from "../apt/private-apt.js";
import { cached } from "../cache.js";
import { withLock } from "../lock.js";
import type { SetupContext } from "../run.js";

/** By suite: Debian 12's compose is the old one in Python. */
const engine = ["docker.io"];
const plugins = ["docker-compose", "docker-buildx"];

/**
 * A directory with `engine` and `plugins`, each the root of packages that were unpacked and not installed: the machine stays as
 * it was. For tests of the image alone, which ask for it themselves.
 */
export async function docker(context: SetupContext): Promise<string> {
  const codename = await debianCodename();
  return await cached(context, {
    name: "docker",
    inputs: [codename, ...engine, ...plugins, "layout 1"],
    build: async (directory) => {
      await fetch(context, codename, engine, join(directory, "engine"));
      await fetch(context, "trixie", plugins, join(directory, "plugins"));
    },
  });
}

async function fetch(context: SetupContext, suite: string, names: readonly string[], root: string): Promise<void> {
  const apt = await privateApt(context, { name: `docker-${suite}`, suites: [suite], onTopOfMachine: false });
  await mkdir(root);
  await withLock(join(context.cache, "locks", `apt-docker-${suite}-files.lock`), context.signal, async () => {
    for (const deb of await downloadClosure(context, apt, names)) {
      const work = await mkdtemp(`${root}-`);
      await unpack(context, deb, work);
      await cp(work, root, { recursive: true, verbatimSymlinks: true, force: true });
      await rm(work, { recursive: true });
    }
  });
}
