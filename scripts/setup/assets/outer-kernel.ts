import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { RuntimeError } from "../../../src/base/errors.js";
import { download, unpack } from "../apt/packages.js";
import { privateApt } from "../apt/private-apt.js";
import { installSystemPackages } from "../apt/system-packages.js";
import { cached } from "../cache.js";
import { run, type SetupContext } from "../run.js";

const suite = "trixie";
const series = "6.12";

/**
 * The kernel of the nested VM that the tests of the krun driver run in: `boot/vmlinuz-*` and `lib/modules/*`, ready for
 * `modprobe -d`. Debian's cloud kernel has virtio-fs and its PCI transport built in, so it needs no initial ramdisk.
 */
export async function outerKernel(context: SetupContext): Promise<string> {
  return await cached(context, {
    name: "outer-kernel",
    inputs: [suite, series],
    build: async (directory, logFile) => {
      await installSystemPackages(context, { names: ["kmod"], fromBackports: [] });
      const apt = await privateApt(context, { name: suite, suites: [suite], onTopOfMachine: false });
      const pattern = `^linux-image-${series.replace(".", "\\.")}[.0-9]*\\+deb[0-9]+-cloud-amd64$`;
      const known = await run("apt-cache", [...apt.options, "pkgnames", `linux-image-${series}`], {
        signal: context.signal,
      });
      const names = known.split("\n").filter((name) => new RegExp(pattern).test(name));
      const newest = names.sort((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1);
      if (newest === undefined) throw new RuntimeError("failedPrecondition", `${suite} has no ${series} cloud kernel`);
      const work = await mkdtemp(join(directory, "work-"));
      const unpacked = join(work, "unpacked");
      await mkdir(unpacked);
      await unpack(context, await download(context, apt, newest, work), unpacked);
      await rename(join(unpacked, "boot"), join(directory, "boot"));
      await mkdir(join(directory, "lib"));
      // The package is of merged-usr days: its modules are under usr/lib.
      const hasUsr =
        (await readdir(unpacked)).includes("usr") && (await readdir(join(unpacked, "usr"))).includes("lib");
      const modules = join(unpacked, hasUsr ? "usr/lib" : "lib", "modules");
      await rename(modules, join(directory, "lib/modules"));
      await rm(work, { recursive: true });
      const release = newest.replace("linux-image-", "");
      await run("/sbin/depmod", ["-b", directory, release], { signal: context.signal, logFile });
    },
  });
}
