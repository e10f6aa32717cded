import { chmod, copyFile, cp, mkdir, mkdtemp, realpath, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { RuntimeError } from "../../../src/base/errors.js";
import { rehearsalLayer } from "../../../src/vmm/share/layout.js";
import { downloadClosure, type PackageFacts, packageFacts, unpack } from "../apt/packages.js";
import { privateApt } from "../apt/private-apt.js";
import { cached, exists } from "../cache.js";
import { checkSha256 } from "../digests.js";
import { run, type SetupContext } from "../run.js";

const suite = "trixie";
const crunVersion = "1.21";
/** Of Debian's package of that version. What it needs is whatever Debian signs today: it has security updates. */
const crunSha256 = "f94f8d4acf08a304884666d67d9faa797ab8401b46c311827783a432cb15b652";
const libraryDirectory = "usr/lib/x86_64-linux-gnu";
const loader = "ld-linux-x86-64.so.2";

/**
 * The small root that every Box sees at /base, without the agent: crun of Debian 13 with the libraries it needs, the C
 * library and loader among them (it needs a newer one than Debian 12 has). Merged /usr.
 */
export async function crunBase(context: SetupContext): Promise<string> {
  return await cached(context, {
    name: "crun-base",
    inputs: [suite, crunVersion, "layout 2"],
    build: async (directory) => {
      const apt = await privateApt(context, { name: suite, suites: [suite], onTopOfMachine: false });
      const work = await mkdtemp(join(directory, "work-"));
      const debs = await downloadClosure(context, apt, ["crun"]);
      const crun = debs.find((deb) => basename(deb).startsWith(`crun_${crunVersion}-`));
      if (crun === undefined) {
        throw new RuntimeError("failedPrecondition", `${suite} has another crun than ${crunVersion}`);
      }
      await checkSha256(`crun ${crunVersion}`, crun, crunSha256);
      for (const deb of debs) await unpack(context, deb, work);
      await mergedUsr(directory);
      await install(join(work, "usr/bin/crun"), join(directory, "usr/bin/crun"));
      const taken = await copyLibraries(context, work, directory, join(work, "usr/bin/crun"));
      await keepLicences(context, debs, ["usr/bin/crun", ...taken], directory);
      await rm(work, { recursive: true });
    },
  });
}

/** Where the guest base has the licences of what is in it, and `packages.json`: what each was taken from. */
export const guestLicences = "usr/share/doc";

/** Those of the packages that the files, named without the directory above a library, come from. */
async function keepLicences(
  context: SetupContext,
  debs: readonly string[],
  files: readonly string[],
  directory: string,
): Promise<void> {
  const facts: PackageFacts[] = [];
  for (const deb of debs) {
    const listed = await run("dpkg-deb", ["--contents", deb], { signal: context.signal });
    const names = listed.split("\n").map((line) => (line.split(" ./")[1] ?? "").split(" ")[0] ?? "");
    if (!files.some((file) => names.some((name) => name === file || `usr/${name}` === file))) continue;
    const fact = await packageFacts(context, deb);
    facts.push(fact);
    const work = await mkdtemp(join(directory, "work-"));
    await unpack(context, deb, work);
    const place = join(directory, guestLicences, fact.name);
    await mkdir(place, { recursive: true });
    await copyFile(join(work, "usr/share/doc", fact.name, "copyright"), join(place, "copyright"));
    await rm(work, { recursive: true });
  }
  await writeFile(join(directory, guestLicences, "packages.json"), JSON.stringify(facts));
}

/** The guest base with an agent in it: what goes to `assets/guest`. Each is the directory with the program. */
export async function guestBase(context: SetupContext, agent: string, unpacker: string): Promise<string> {
  const base = await crunBase(context);
  return await cached(context, {
    name: "guest",
    inputs: [basename(base), basename(agent), basename(unpacker), "layout 2"],
    build: async (directory) => {
      await cp(base, directory, { recursive: true, verbatimSymlinks: true });
      await install(join(agent, "agent"), join(directory, "usr/bin/agent"));
      await packRehearsal(context, join(directory, "usr/bin/agent"), join(unpacker, "a3s-box-unpacker"), directory);
    },
  });
}

/**
 * What the container is made of that a Box runs before it has a pod (src/vmm/pool/warm-up.ts): a layer as images' are, an EROFS
 * file, with the agent in it. The same agent makes the same bytes.
 */
async function packRehearsal(context: SetupContext, agent: string, unpacker: string, directory: string): Promise<void> {
  const work = await mkdtemp(join(directory, "work-"));
  const [tree, packed] = [join(work, "tree"), join(work, "packed")];
  const program = join(tree, "usr/bin/agent");
  await Promise.all([mkdir(packed), mkdir(dirname(program), { recursive: true })]);
  await install(agent, program);
  for (const path of [program, dirname(program), join(tree, "usr"), tree]) await utimes(path, 0, 0);
  await run(unpacker, ["pack", packed, tree, "0".repeat(32)], { signal: context.signal });
  await mkdir(dirname(join(directory, rehearsalLayer)), { recursive: true });
  await copyFile(join(packed, "layer.erofs"), join(directory, rehearsalLayer));
  await chmod(join(directory, rehearsalLayer), 0o644);
  await rm(work, { recursive: true });
}

async function mergedUsr(directory: string): Promise<void> {
  for (const name of ["bin", "sbin", "lib", "lib64"]) {
    await mkdir(join(directory, "usr", name), { recursive: true });
    await symlink(`usr/${name}`, join(directory, name));
  }
  await mkdir(join(directory, libraryDirectory), { recursive: true });
}

async function install(from: string, to: string): Promise<void> {
  await copyFile(from, to);
  await chmod(to, 0o755);
}

/** Copies what a program needs, and what that needs, under the names that the loader asks for; resolves to their paths. */
async function copyLibraries(context: SetupContext, from: string, to: string, program: string): Promise<string[]> {
  const todo = [program];
  const done = new Set<string>([loader]);
  const taken = [`usr/lib64/${loader}`];
  await install(join(from, libraryDirectory, loader), join(to, "usr/lib64", loader));
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    const dynamic = await run("readelf", ["-d", next], { signal: context.signal });
    for (const [, name] of dynamic.matchAll(/\(NEEDED\)\s+Shared library: \[([^\]/]+)\]/g)) {
      if (name === undefined || done.has(name)) continue;
      done.add(name);
      const library = join(from, libraryDirectory, name);
      if (!(await exists(library)))
        throw new RuntimeError("internal", `${basename(next)} needs ${name}, in no package`);
      await install(library, join(to, libraryDirectory, name));
      taken.push(relative(from, await realpath(library)));
      todo.push(library);
    }
  }
  return taken;
}
