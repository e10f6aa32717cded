/** Which packages of Debian the layers of the templates' images are made of, and how they are had. */
import { copyFile, mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { downloadClosure } from "../setup/apt/packages.js";
import { privateApt } from "../setup/apt/private-apt.js";
import { withLock } from "../setup/lock.js";
import type { SetupContext } from "../setup/run.js";

export const suite = "trixie";

/** Each layer has these and what they depend on, without what the layers before it have. */
export const packageLayers = [
  {
    name: "base",
    packages: [
      // What Debian calls essential, and a machine of Debian has anyway: apt counts it as needed by nobody.
      ...[
        "base-files",
        "base-passwd",
        "bash",
        "bsdutils",
        "coreutils",
        "dash",
        "debianutils",
        "diffutils",
        "findutils",
      ],
      ...["grep", "gzip", "hostname", "libc-bin", "ncurses-base", "ncurses-bin", "sed", "sysvinit-utils", "tar"],
      ...["mawk", "util-linux", "netbase", "tzdata", "procps", "ca-certificates", "openssl"],
      // What programs that were trained on shells reach for.
      ...["git", "curl", "openssh-client", "less", "jq", "ripgrep", "patch", "bzip2", "xz-utils", "zip", "unzip"],
    ],
  },
  { name: "python", packages: ["python3", "python-is-python3", "python3-pip", "python3-venv"] },
] as const;

/** The packages' files of each layer, in the order of their names. */
export type LayerFiles = readonly (readonly string[])[];

/** Asks the machine's mirror for what it has now, and lays each layer's packages into a directory of its name. */
export async function downloadLayers(context: SetupContext, directory: string): Promise<LayerFiles> {
  const suites = [suite, `${suite}-updates`];
  const apt = await privateApt(context, { name: "templates", suites, security: true, onTopOfMachine: false });
  // Two downloads at once would take away each other's files.
  return await withLock(join(context.cache, "locks", "apt-templates-files.lock"), context.signal, async () => {
    const layers: string[][] = [];
    const wanted: string[] = [];
    const known = new Set<string>();
    for (const { name, packages } of packageLayers) {
      wanted.push(...packages);
      const debs = await downloadClosure(context, apt, wanted);
      const place = join(directory, name);
      await mkdir(place);
      const own = debs.filter((deb) => !known.has(basename(deb)));
      for (const deb of own) {
        known.add(basename(deb));
        await copyFile(deb, join(place, basename(deb)));
      }
      layers.push(own.map((deb) => join(place, basename(deb))));
    }
    return layers;
  });
}
