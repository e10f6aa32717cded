/** What a release takes from packages of Debian: libraries of its programs, and QEMU. */
import { cp, mkdir, mkdtemp, readdir, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { basename, join, relative } from "node:path";
import * as z from "zod";
import { RuntimeError } from "../../src/base/errors.js";
import { downloadClosure, packageFacts, unpack, type PackageFacts } from "../setup/apt/packages.js";
import { debianCodename, privateApt } from "../setup/apt/private-apt.js";
import { cached, exists } from "../setup/cache.js";
import { sha256Of } from "../setup/digests.js";
import { withLock } from "../setup/lock.js";
import { run, type SetupContext } from "../setup/run.js";
import type { Inclusion, Part } from "./parts.js";
import { walk } from "./walk.js";

/** Of Node, the launcher, libkrun, virtiofsd and the unpacker. */
const libraries = ["libstdc++6", "libgcc-s1", "libseccomp2", "libcap-ng0", "libisal2"];
const qemu = ["qemu-system-x86"];
/** Below the packages' root: all that a release may take. */
const kept = [
  ...["usr/bin/qemu-system-x86_64", "usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"],
  ...["usr/share/qemu", "usr/share/seabios", "usr/share/doc"],
];

const factSchema = z.object({ name: z.string(), version: z.string(), source: z.string(), sha256: z.string() });
const listed = z.array(factSchema.extend({ files: z.array(z.string()) }));

export interface Packages {
  /** Their files, as on a machine. */
  readonly root: string;
  readonly list: readonly (PackageFacts & { readonly files: readonly string[] })[];
}

/** As they were when the first clone on this machine asked for them: of the release that this machine runs. */
export async function releasePackages(context: SetupContext): Promise<Packages> {
  const codename = await debianCodename();
  const directory = await cached(context, {
    name: "release-packages",
    inputs: [codename, ...libraries, ...qemu, ...kept, "layout 1"],
    build: async (place) => {
      await fetchPackages(context, codename, place);
    },
  });
  return {
    root: join(directory, "root"),
    list: listed.parse(JSON.parse(await readFile(join(directory, "packages.json"), "utf8"))),
  };
}

async function fetchPackages(context: SetupContext, codename: string, place: string): Promise<void> {
  const isOld = codename === "bookworm"; // whose own QEMU is too old
  const suites = [codename, `${codename}-updates`, ...(isOld ? ["bookworm-backports"] : [])];
  const apt = await privateApt(context, { name: "release", suites, security: true, onTopOfMachine: false });
  // Two downloads at once would take away each other's files.
  await withLock(join(context.cache, "locks", "apt-release-files.lock"), context.signal, async () => {
    const debs = new Map<string, string>();
    const take = async (names: readonly string[], preferred: readonly string[]): Promise<void> => {
      const work = await mkdtemp(join(place, "work-"));
      for (const deb of await downloadClosure(context, apt, names, preferred)) {
        const name = basename(deb).split("_")[0] ?? "";
        if (debs.has(name)) continue;
        debs.set(name, join(work, basename(deb)));
        await cp(deb, join(work, basename(deb)));
      }
    };
    await take(libraries, []);
    await take(qemu, isOld ? ["-t", "bookworm-backports"] : []);
    const list: unknown[] = [];
    for (const deb of debs.values()) list.push(await addPackage(context, deb, join(place, "root")));
    await writeFile(join(place, "packages.json"), JSON.stringify(list));
    for (const name of await readdir(place)) {
      if (name.startsWith("work-")) await rm(join(place, name), { recursive: true });
    }
  });
}

async function addPackage(context: SetupContext, deb: string, root: string): Promise<Packages["list"][number]> {
  const work = `${deb}.files`;
  await mkdir(work);
  await unpack(context, deb, work);
  for (const path of kept) {
    if (!(await exists(join(work, path)))) continue;
    const options = { recursive: true, verbatimSymlinks: true, force: true };
    await cp(join(work, path), join(root, path), options);
  }
  const files = (await walk(work)).map(({ path }) => path);
  await rm(work, { recursive: true });
  return { ...(await packageFacts(context, deb)), files };
}

/** The packages that the files, by their paths in the packages' root, belong to. */
export async function partsOfFiles(
  { root, list }: Packages,
  files: readonly string[],
  inclusion: Inclusion = "CONTAINS",
): Promise<Part[]> {
  const parts: Part[] = [];
  for (const facts of list.filter((one) => files.some((file) => one.files.includes(file)))) {
    parts.push(await debianPart(facts, join(root, "usr/share/doc", facts.name, "copyright"), inclusion));
  }
  const found = new Set(parts.map(({ name }) => name));
  const lost = files.filter((file) => !list.some((one) => found.has(one.name) && one.files.includes(file)));
  if (lost.length > 0) throw new RuntimeError("internal", `no package has ${lost.join(", ")}`);
  return parts;
}

export async function debianPart(facts: PackageFacts, copyright: string, inclusion: Inclusion): Promise<Part> {
  const { name, version, sha256 } = facts;
  return {
    ...{ kind: "debian", name, version, inclusion, licence: undefined },
    digest: { algorithm: "SHA256", hex: sha256 },
    purl: `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}?arch=amd64`,
    comment: `Source package: ${facts.source}.`,
    texts: [{ name: "copyright", text: await readFile(await realpath(copyright), "utf8") }],
  };
}

/** With `packages.json` beside the packages' directories: what the set-up keeps of what it takes from packages. */
export async function keptParts(directory: string): Promise<Part[]> {
  const facts = z.array(factSchema).parse(JSON.parse(await readFile(join(directory, "packages.json"), "utf8")));
  return await Promise.all(
    facts.map(async (fact) => await debianPart(fact, join(directory, fact.name, "copyright"), "CONTAINS")),
  );
}

export async function kernelPart(directory: string): Promise<Part> {
  const facts = factSchema.parse(JSON.parse(await readFile(join(directory, "package.json"), "utf8")));
  const part = await debianPart(facts, join(directory, "copyright"), "CONTAINS");
  // The package's kernel lies in it as it is; ours has its configuration beside it.
  const how = (await exists(join(directory, "config")))
    ? "Built from it with guest/kernel's configuration and patches."
    : "The kernel in it, as an ELF file.";
  return { ...part, comment: `${part.comment ?? ""} ${how}` };
}

/** Archives of this machine's packages that are linked into our programs, and who has them. */
export async function staticParts(context: SetupContext): Promise<Part[]> {
  const names = ["libstdc++.a", "libgcc.a", "libc.a", "libzstd.a", "libcrypto.a", "libseccomp.a"];
  const options = { signal: context.signal };
  return await Promise.all(
    names.map(async (name) => {
      const found = (await run("g++", [`-print-file-name=${name}`], options)).trim();
      const path = await realpath(found);
      const owner = (await run("dpkg-query", ["--search", path], options)).split(":")[0] ?? "";
      const format = "--showformat=${Version}\n${source:Package} ${source:Version}";
      const [version = "", source = ""] = (await run("dpkg-query", ["--show", format, owner], options)).split("\n");
      const facts = { name: owner, version, source, sha256: await sha256Of(path) };
      const part = await debianPart(facts, join("/usr/share/doc", owner, "copyright"), "STATIC_LINK");
      return { ...part, comment: `${part.comment ?? ""} The digest is that of ${relative("/", path)} in it.` };
    }),
  );
}
