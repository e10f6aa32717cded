import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { download, unpack } from "../apt/packages.js";
import { debianCodename, privateApt } from "../apt/private-apt.js";
import { cached } from "../cache.js";
import { sourceInputs } from "../fingerprint.js";
import { run, type SetupContext } from "../run.js";

const ours = "scripts/setup/apparmor";
const ofTests = "test/support/apparmor";
/**
 * What the profiles may ask of a kernel: of 5.4, without what distributions add to theirs. Any later one takes it, the guest's
 * and those of hosts.
 */
const features = "etc/apparmor.d/abi/kernel-5.4-vanilla";

/** The directory with the compiled profile of RuntimeDefault (docs/adr/0146). */
export async function apparmorProfiles(context: SetupContext): Promise<string> {
  return await compiled(context, "apparmor", ours);
}

export async function apparmorTestProfiles(context: SetupContext): Promise<string> {
  return await compiled(context, "apparmor-tests", ofTests);
}

/** Each file of the directory, under its own name. The parser is the one of the machine's release: nothing else runs it. */
async function compiled(context: SetupContext, name: string, sources: string): Promise<string> {
  const codename = await debianCodename();
  return await cached(context, {
    name,
    inputs: [codename, features, "layout 1", ...(await sourceInputs(context.root, [sources]))],
    build: async (directory, logFile) => {
      const apt = await privateApt(context, { name: codename, suites: [codename], onTopOfMachine: false });
      const work = await mkdtemp(join(directory, "work-"));
      const unpacked = join(work, "unpacked");
      await mkdir(unpacked);
      await unpack(context, await download(context, apt, "apparmor", work), unpacked);
      const parser = join(
        unpacked,
        ((await readdir(unpacked)).includes("sbin") ? "" : "usr/") + "sbin/apparmor_parser",
      );
      // The machine's own settings, where it has any, are for its own profiles.
      const words = [
        "--config-file",
        "/dev/null",
        "--skip-kernel-load",
        "--skip-cache",
        "--features-file",
        join(unpacked, features),
      ];
      for (const one of await readdir(join(context.root, sources))) {
        const files = ["--ofile", join(directory, one), join(context.root, sources, one)];
        await run(parser, [...words, ...files], { signal: context.signal, logFile });
      }
      await rm(work, { recursive: true });
    },
  });
}
