/** The files of a release, laid out in a directory. */
import { chmod, copyFile, cp, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { RuntimeError } from "../../src/base/errors.js";
import { guestLicences } from "../setup/assets/guest-base.js";
import { exists } from "../setup/cache.js";
import { sha256Of } from "../setup/digests.js";
import { run, type SetupContext } from "../setup/run.js";
import { crateParts } from "./crate-parts.js";
import { kernelPart, keptParts, type Packages, partsOfFiles, staticParts } from "./debian.js";
import { librariesOf, lookIn } from "./elf.js";
import { nodePart } from "./node.js";
import { npmParts } from "./npm-parts.js";
import { licenceDirectory, sorted, type Part } from "./parts.js";
import { walk } from "./walk.js";

export interface TreeWish {
  readonly version: string;
  readonly qemu: boolean;
  /** What the set-up and the other recipes have made. */
  readonly from: {
    readonly node: string;
    readonly kernel: string;
    readonly guest: string;
    readonly packages: Packages;
  };
}

/** With the directory of libraries as the program sees it from its own. */
const patched = [
  { program: "node/bin/node", libraries: "../../build/assets/lib" },
  { program: "build/assets/bin/a3s-box-launcher", libraries: "../lib" },
  { program: "build/assets/bin/a3s-box-unpacker", libraries: "../lib" },
  { program: "build/assets/bin/virtiofsd", libraries: "../lib" },
  { program: "build/assets/qemu/bin/qemu-system-x86_64", libraries: "../../lib" },
];
/** What QEMU's machine `microvm` reads of its data: the BIOS that it has without ACPI, and what starts a kernel. */
const firmware = ["qboot.rom", "linuxboot_dma.bin", "pvh.bin"];

/** Fills an empty directory, and resolves to what is in it. */
export async function layOut(context: SetupContext, directory: string, wish: TreeWish): Promise<Part[]> {
  const { from, qemu } = wish;
  const { root } = context;
  const assets = join(root, "build/assets");
  const put = async (source: string, path: string, mode = 0o644): Promise<void> => {
    const target = join(directory, path);
    await mkdir(dirname(target), { recursive: true });
    await copyFile(source, target);
    await chmod(target, mode);
  };
  await put(join(from.node, "bin/node"), "node/bin/node", 0o755);
  await putDaemon(context, directory, wish.version, put);
  const programs = ["a3s-box-launcher", "a3s-box-unpacker", ...(qemu ? ["virtiofsd"] : [])];
  for (const name of programs) await put(join(assets, "bin", name), `build/assets/bin/${name}`, 0o755);
  await put(join(assets, "native/a3s_box.node"), "build/assets/native/a3s_box.node");
  await put(join(assets, "lib/libkrun.so.1"), "build/assets/lib/libkrun.so.1");
  const profile = "apparmor/a3s-box-default";
  await put(join(assets, profile), `build/assets/${profile}`);
  // Of a kernel of ours: what it was made of, and which vulnerabilities its version mends.
  for (const name of ["vmlinux.elf", "config", "changelog.Debian.gz"]) {
    if (await exists(join(from.kernel, name))) await put(join(from.kernel, name), `build/assets/kernel/${name}`);
  }
  await cp(from.guest, join(directory, "build/assets/guest"), { recursive: true, verbatimSymlinks: true });
  const ofQemu = qemu ? await putQemu(from.packages.root, put) : [];
  const files = [...ofQemu, ...(await putLibraries(context, directory, from.packages.root, put))];
  for (const { program, libraries } of patched) {
    if (await exists(join(directory, program))) await lookIn(context, join(directory, program), libraries);
  }
  const parts = sorted([
    await nodePart(from.node),
    await kernelPart(from.kernel),
    ...(await npmParts(root)),
    ...(await crateParts(context, wish)),
    ...(await keptParts(join(from.guest, guestLicences))),
    ...(await staticParts(context)),
    ...(await partsOfFiles(from.packages, files)),
  ]);
  await putLicences(directory, parts, await readFile(join(root, "LICENSE"), "utf8"));
  return parts;
}

type Put = (source: string, path: string, mode?: number) => Promise<void>;

async function putDaemon(context: SetupContext, directory: string, version: string, put: Put): Promise<void> {
  const { root } = context;
  const chunks = (await readdir(join(root, "dist/bundle"))).filter((name) => name.endsWith(".js"));
  const scripts = ["main.js", "cli/run-command-line.js", ...chunks.map((name) => `bundle/${name}`)];
  for (const path of scripts) await put(join(root, "dist", path), `dist/${path}`);
  const manifest = { name: "a3s-box-cri-runtime", version, license: "Apache-2.0", private: true, type: "module" };
  await writeFile(join(directory, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  for (const name of await readdir(join(root, "systemd"))) await put(join(root, "systemd", name), `systemd/${name}`);
  for (const name of await readdir(join(root, "docs/guide"))) {
    await put(join(root, "docs/guide", name), `docs/guide/${name}`);
  }
  for (const name of ["LICENSE", "CHANGELOG.md"]) await put(join(root, name), name);
  await put(join(root, "scripts/release/README.md"), "README.md");
  await mkdir(join(directory, "bin"));
  const source = join(root, "scripts/release/a3s-box.c");
  const options = ["-O2", "-s", "-Wall", "-Wextra", "-Werror", "-Wl,--build-id=none"];
  await run("gcc", [...options, "-o", join(directory, "bin/a3s-box"), source], { signal: context.signal });
}

/** Resolves to the packages' files that were taken. */
async function putQemu(packages: string, put: Put): Promise<string[]> {
  const program = "usr/bin/qemu-system-x86_64";
  await put(join(packages, program), "build/assets/qemu/bin/qemu-system-x86_64", 0o755);
  const taken = [program];
  for (const name of firmware) {
    const places = ["usr/share/qemu", "usr/share/seabios"].map((at) => `${at}/${name}`);
    const found = (await Promise.all(places.map(async (path) => ((await exists(join(packages, path))) ? path : []))))
      .flat()
      .at(0);
    if (found === undefined) throw new RuntimeError("internal", `no package has ${name}`);
    await put(join(packages, found), `build/assets/qemu/share/qemu/${name}`);
    taken.push(found);
  }
  return taken;
}

async function putLibraries(context: SetupContext, directory: string, packages: string, put: Put): Promise<string[]> {
  const programs = [...patched.map(({ program }) => program), "build/assets/lib/libkrun.so.1"];
  const present: string[] = [];
  for (const program of programs) if (await exists(join(directory, program))) present.push(join(directory, program));
  const libraries = await librariesOf(
    context,
    [...present, join(directory, "build/assets/native/a3s_box.node")],
    packages,
  );
  for (const { name, file } of libraries) await put(join(packages, file), `build/assets/lib/${name}`);
  return libraries.map(({ file }) => file);
}

/** Some crates are published without the text of their licence, which is ours as well. */
async function putLicences(directory: string, parts: readonly Part[], apache: string): Promise<void> {
  for (const part of parts) {
    const isApache = part.licence?.includes("Apache-2.0") === true;
    const own = part.texts.length === 0 && isApache ? [{ name: "LICENSE", text: apache }] : part.texts;
    for (const { name, text } of own) {
      const place = join(directory, licenceDirectory(part));
      await mkdir(place, { recursive: true });
      await writeFile(join(place, name), text);
    }
  }
}

/** "digest  path" of each file, in the order of their names: what sha256sum(1) takes. */
export async function sumsOf(directory: string): Promise<string> {
  const lines: string[] = [];
  for (const { path, entry } of await walk(directory)) {
    if (entry.isFile()) lines.push(`${await sha256Of(join(directory, path))}  ${path}\n`);
  }
  return lines.join("");
}

/** What the unit, the SBOM and whoever asks are told. */
export async function versionOf(root: string): Promise<string> {
  const text = /"version": "([^"]+)"/.exec(await readFile(join(root, "package.json"), "utf8"))?.[1];
  if (text === undefined) throw new RuntimeError("internal", "package.json has no version");
  return text;
}
