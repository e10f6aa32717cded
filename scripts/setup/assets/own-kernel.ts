import { appendFile, copyFile, cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { basename, join } from "node:path";
import { messageOf, RuntimeError } from "../../../src/base/errors.js";
import { download, packageFacts, unpack } from "../apt/packages.js";
import { debianCodename, privateApt, type PrivateApt } from "../apt/private-apt.js";
import { installSystemPackages } from "../apt/system-packages.js";
import { cached } from "../cache.js";
import { packedElf } from "../elf/packed.js";
import { fingerprint, sourceInputs, toolVersion } from "../fingerprint.js";
import { kernelFragment, lostOptions, parseKernelConfig } from "../kernel-config.js";
import { run, type SetupContext } from "../run.js";

const series = "6.12";
const sourcePackage = `linux-source-${series}`;
/** The patches are of this one; an older one comes from an archive that nobody keeps up to date. */
const leastPatchLevel = 100;
const own = "guest/kernel";
const recipe = "own-kernel";
const kernelFile = "vmlinux.elf";

const tools = ["gcc", "make", "flex", "bison", "bc", "libelf-dev", "patch", "xz-utils"];
/** Whose build it is, which the kernel tells: nobody's, so that the same sources make the same bytes. */
const builder = { KBUILD_BUILD_USER: "a3s", KBUILD_BUILD_HOST: "box", KBUILD_BUILD_VERSION: "1" };

/**
 * As it was built, but for the nothing between its segments. It goes by what was built: a change of how a file is packed
 * builds no kernel anew.
 */
export async function ownKernel(context: SetupContext): Promise<string> {
  const built = await builtKernel(context);
  return await cached(context, {
    name: "packed-kernel",
    inputs: ["layout 1", basename(built)],
    build: async (directory) => {
      await cp(built, directory, { recursive: true });
      const path = join(directory, kernelFile);
      await writeFile(path, packedElf(await readFile(path)));
      await mustBootByPvh(context, path);
    },
  });
}

/**
 * The guest kernel of our own as `vmlinux.elf`: the distribution's sources of the series, our configuration and patches
 * (docs/adr/0130). Beside it its `config`, the package's facts, licence and changelog. Where the archive can't be asked, the
 * one of an earlier version that this machine has built is good enough.
 */
async function builtKernel(context: SetupContext): Promise<string> {
  await installSystemPackages(context, { names: tools, fromBackports: [] });
  const ours = [
    ...["layout 1", ...(await sourceInputs(context.root, [`${own}/config`, `${own}/patches`]))],
    ...(await Promise.all(["gcc", "ld"].map((tool) => toolVersion(tool, context)))),
  ];
  let newest;
  try {
    newest = await newestSources(context);
  } catch (thrown) {
    context.signal.throwIfAborted();
    const earlier = await builtEarlier(context, fingerprint(ours));
    if (earlier === undefined) throw thrown;
    context.say(`${recipe}: an earlier build is taken; no newer version could be asked for: ${messageOf(thrown)}`);
    return earlier;
  }
  const { apt, version } = newest;
  return await cached(context, {
    name: recipe,
    inputs: [...ours, version],
    build: async (directory, logFile) => {
      await writeFile(join(directory, "recipe"), fingerprint(ours));
      await build(context, { directory, logFile, apt, version });
    },
  });
}

/** The newest one that the archive has, of the release or its security updates. */
async function newestSources(context: SetupContext): Promise<{ apt: PrivateApt; version: string }> {
  const codename = await debianCodename();
  // The release before has the series among its updates, or its backports.
  const suites = codename === "bookworm" ? [codename, `${codename}-backports`] : [codename];
  const apt = await privateApt(context, { name: sourcePackage, suites, security: true, onTopOfMachine: false });
  const policy = await run("apt-cache", [...apt.options, "policy", sourcePackage], { signal: context.signal });
  const version = /^ {2}Candidate: (\d\S+)$/m.exec(policy)?.[1];
  const level = Number(/^\d+\.\d+\.(\d+)/.exec(version ?? "")?.[1] ?? "0");
  if (version !== undefined && level >= leastPatchLevel) return { apt, version };
  throw new RuntimeError("failedPrecondition", `the archive has ${sourcePackage} ${version ?? "not at all"}`, {
    hint: `${series}.${leastPatchLevel} or newer is wanted: name ${codename}-security in the apt sources`,
  });
}

async function builtEarlier(context: SetupContext, wanted: string): Promise<string | undefined> {
  const found: { path: string; builtMs: number }[] = [];
  for (const name of await readdir(context.cache).catch(() => [])) {
    const path = join(context.cache, name);
    if (!name.startsWith(`${recipe}-`)) continue;
    const made = await readFile(join(path, "recipe"), "utf8").catch(() => undefined);
    if (made === wanted) found.push({ path, builtMs: (await stat(join(path, kernelFile))).mtimeMs });
  }
  return found.sort((a, b) => a.builtMs - b.builtMs).at(-1)?.path;
}

interface Work {
  readonly directory: string;
  readonly logFile: string;
  readonly apt: PrivateApt;
  readonly version: string;
}

async function build(context: SetupContext, { directory, logFile, apt, version }: Work): Promise<void> {
  context.say(`${recipe}: Linux ${version}; some 8 minutes on two idle cores`);
  const options = { signal: context.signal, logFile };
  const work = await mkdtemp(join(directory, "work-"));
  const deb = await download(context, apt, `${sourcePackage}=${version}`, work);
  const unpacked = join(work, "package");
  await mkdir(unpacked);
  await unpack(context, deb, unpacked);
  const archive = join(unpacked, "usr/src", `${sourcePackage}.tar.xz`);
  const tree = await patchedSources(context, { archive, version, work, logFile });
  // Of the package, so the same wherever it is built.
  const time = (await stat(join(tree, "Makefile"))).mtime.toISOString();
  const make = async (...args: string[]): Promise<void> => {
    const env = { ...builder, KBUILD_BUILD_TIMESTAMP: time };
    await run("make", ["-C", tree, "ARCH=x86_64", ...args], { ...options, env });
  };
  await configure(context, tree, make);
  await make(`-j${availableParallelism()}`, "vmlinux");
  await run("strip", ["--strip-all", "-o", join(directory, kernelFile), join(tree, "vmlinux")], options);
  await copyFile(join(tree, ".config"), join(directory, "config"));
  const documents = join(unpacked, "usr/share/doc", sourcePackage);
  await copyFile(join(documents, "copyright"), join(directory, "copyright"));
  // Which vulnerabilities the version mends is told there, by CVE.
  await copyFile(join(documents, "changelog.Debian.gz"), join(directory, "changelog.Debian.gz"));
  await writeFile(join(directory, "package.json"), JSON.stringify(await packageFacts(context, deb)));
  await rm(work, { recursive: true });
}

interface Sources {
  readonly archive: string;
  readonly version: string;
  readonly work: string;
  readonly logFile: string;
}

/** For who changes the configuration: a directory that keeps sources and objects from one build to the next. */
const treeVariable = "A3S_KERNEL_TREE";

/** The directory of the unpacked sources with our patches. */
async function patchedSources(context: SetupContext, { archive, version, work, logFile }: Sources): Promise<string> {
  const options = { signal: context.signal, logFile };
  const patches = join(context.root, own, "patches");
  const tree = process.env[treeVariable] ?? join(work, sourcePackage);
  const mark = join(tree, ".a3s-sources");
  const marked = fingerprint([version, ...(await sourceInputs(context.root, [`${own}/patches`]))]);
  const present = await readFile(mark, "utf8").catch(() => undefined);
  if (present === marked) return tree;
  if (present === undefined && (await readdir(tree).catch(() => [])).length > 0) {
    throw new RuntimeError("failedPrecondition", `${treeVariable}: ${tree} is there, and no tree of ours`);
  }
  await rm(tree, { recursive: true, force: true });
  await mkdir(tree, { recursive: true });
  await run("tar", ["-xf", archive, "-C", tree, "--strip-components=1"], options);
  for (const name of (await readdir(patches)).sort()) {
    const args = ["-p1", "--fuzz=0", "--no-backup-if-mismatch", "-d", tree, "-i", join(patches, name)];
    await run("patch", args, options);
  }
  await writeFile(mark, marked);
  return tree;
}

/** The smallest configuration that there is, ours over it, and what follows from both. */
async function configure(
  context: SetupContext,
  tree: string,
  make: (...args: string[]) => Promise<void>,
): Promise<void> {
  const file = join(tree, ".config");
  const { text, options } = await kernelFragment(join(context.root, own, "config"));
  await make("tinyconfig");
  await appendFile(file, text);
  await make("olddefconfig");
  const lost = lostOptions(options, parseKernelConfig(await readFile(file, "utf8"), file));
  if (lost.length === 0) return;
  throw new RuntimeError("internal", `the kernel's configuration is not what ${own} asks for:\n${lost.join("\n")}`);
}

/** Xen's note 18 is the 32-bit entry that QEMU boots by. */
async function mustBootByPvh(context: SetupContext, path: string): Promise<void> {
  const notes = await run("readelf", ["--notes", "--wide", path], { signal: context.signal });
  if (!/^\s*Xen\s.*(0x00000012|XEN_ELFNOTE_PHYS32_ENTRY)/m.test(notes)) {
    throw new RuntimeError("internal", `${path} has no PVH note:\n${notes}`);
  }
}
