import { mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { RuntimeError } from "../../../src/base/errors.js";
import { privateApt } from "../apt/private-apt.js";
import { cached } from "../cache.js";
import { sourceInputs } from "../fingerprint.js";
import { run, type SetupContext } from "../run.js";

const suite = "trixie";
const source = "scripts/setup/assets/image-packages.ts";

/** What the tests build images of: programs with set-uid bits, hard links, thousands of links, and what they need. */
const names = [
  ...["base-files", "libc6", "coreutils", "tar", "perl-base", "libpython3.13-minimal", "python3.13-minimal"],
  ...["git", "curl", "nginx", "nginx-common", "openssh-client", "passwd", "sudo", "iputils-ping", "tzdata"],
  ...["ncurses-base", "ncurses-term", "bash", "libtinfo6", "libexpat1", "zlib1g"],
];

/** The directory with `NAME.deb` for each. */
export async function imagePackages(context: SetupContext): Promise<string> {
  return await cached(context, {
    name: "image-packages",
    inputs: [suite, ...names, ...(await sourceInputs(context.root, [source]))],
    build: async (directory) => {
      const apt = await privateApt(context, { name: suite, suites: [suite], onTopOfMachine: false });
      const work = await mkdtemp(join(directory, "work-"));
      await run("apt-get", [...apt.options, "-q", "download", ...names], { signal: context.signal, cwd: work });
      const files = await readdir(work);
      for (const name of names) {
        const file = files.find((candidate) => candidate.startsWith(`${name}_`));
        if (file === undefined) throw new RuntimeError("internal", `apt-get download ${name} left no file`);
        await rename(join(work, file), join(directory, `${name}.deb`));
      }
      await rm(work, { recursive: true });
    },
  });
}
