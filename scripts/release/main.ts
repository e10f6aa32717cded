/** `npm run release`: the self-contained tree, archives of it, and what is in it. */
import { chmod, cp, mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { messageOf } from "../../src/base/errors.js";
import { agent } from "../setup/assets/agent.js";
import { guestBase } from "../setup/assets/guest-base.js";
import { guestKernel, type KernelName, wantedKernel } from "../setup/assets/guest-kernel.js";
import { unpacker } from "../setup/assets/unpacker.js";
import { installSystemPackages } from "../setup/apt/system-packages.js";
import { sha256Of } from "../setup/digests.js";
import { buildDist } from "../setup/dist.js";
import { interrupted } from "../setup/interrupted.js";
import { tryRun, type SetupContext } from "../setup/run.js";
import { setUp, setupContext } from "../setup/set-up.js";
import { Stopwatch } from "../setup/stopwatch.js";
import { writeTarGz } from "./archive.js";
import { writeDeb } from "./deb.js";
import { releasePackages } from "./debian.js";
import { glibcOf } from "./elf.js";
import { nodePackage } from "./node.js";
import { sha256 } from "../setup/image-layer.js";
import { sbomOf } from "./spdx.js";
import { layOut, sumsOf, versionOf, type TreeWish } from "./tree.js";

const usage = `npm run release [-- --out DIR] [-- --without-qemu]

  --out DIR        where the archives go (default build/release)
  --without-qemu   for machines with a usable KVM alone: smaller by QEMU and its libraries
`;

/** A release has ours, unless A3S_KERNEL says otherwise (docs/adr/0144). */
const kernel = (): KernelName | undefined => wantedKernel({ ours: true }, process.env);

interface Wish {
  readonly out: string;
  readonly qemu: boolean;
}

function wishOf(args: string[]): Wish | undefined {
  try {
    const options = { out: { type: "string" }, "without-qemu": { type: "boolean" } } as const;
    const { values } = parseArgs({ args, options });
    return { out: resolve(values.out ?? "build/release"), qemu: values["without-qemu"] !== true };
  } catch {
    return undefined; // the usage says it
  }
}

async function release(context: SetupContext, { out, qemu }: Wish, watch: Stopwatch): Promise<void> {
  await watch.time("native parts", async () => {
    await setUp(context, { drivers: qemu ? ["krun", "qemu"] : ["krun"], forTests: false, kernel: kernel() });
    await installSystemPackages(context, { names: ["patchelf", "binutils"], fromBackports: [] });
  });
  await watch.time("dist", async () => {
    await buildDist(context);
  });
  const wish = await watch.time("packages", async () => await wishFor(context, qemu));
  const time = await timeOf(context);
  const name = `a3s-box-${wish.version}-linux-amd64${qemu ? "" : "-kvm"}`;
  const work = await mkdtemp(join(tmpdir(), "a3s-release-"));
  try {
    const directory = join(work, name);
    const glibc = await watch.time("tree", async () => await makeTree(context, directory, name, wish, time));
    await mkdir(out, { recursive: true });
    const archive = join(out, `${name}.tar.gz`);
    const deb = join(out, `${qemu ? "a3s-box" : "a3s-box-kvm"}_${wish.version}_amd64.deb`);
    const packed = { directory, prefix: `${name}/`, time };
    await watch.time("archives", async () => {
      await Promise.all([
        writeTarGz(archive, packed),
        writeDeb(deb, { directory, version: wish.version, qemu, glibc, time }),
      ]);
    });
    const sbom = join(out, `${name}.spdx.json`);
    await cp(join(directory, "sbom.spdx.json"), sbom);
    await placeTree(directory, join(out, name));
    await listSums(out, [archive, deb, sbom]);
    console.log(`\nglibc ${glibc} or newer; the tree itself: ${join(out, name)}`);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function wishFor(context: SetupContext, qemu: boolean): Promise<TreeWish> {
  const [node, packages] = [await nodePackage(context), await releasePackages(context)];
  const guest = await guestBase(context, await agent(context), await unpacker(context));
  const from = { node, packages, guest, kernel: (await guestKernel(context, kernel())).directory };
  return { version: await versionOf(context.root), qemu, from };
}

/** Resolves to the glibc that it needs. */
async function makeTree(
  context: SetupContext,
  directory: string,
  name: string,
  wish: TreeWish,
  time: Date,
): Promise<string> {
  await mkdir(directory);
  const parts = await layOut(context, directory, wish);
  const sums = await sumsOf(directory);
  const digest = sha256(Buffer.from(sums)).replace("sha256:", "");
  await writeFile(
    join(directory, "sbom.spdx.json"),
    sbomOf({ name, version: wish.version, created: time, parts, digest }),
  );
  await writeFile(join(directory, "SHA256SUMS"), await sumsOf(directory));
  await chmod(directory, 0o755);
  return await glibcOf(context, directory);
}

/** Of all files in it: when the sources were last changed, unless who packs it says another. */
async function timeOf(context: SetupContext): Promise<Date> {
  const words = ["-C", context.root, "log", "-1", "--format=%ct"];
  const committed = await tryRun("git", words, { signal: context.signal });
  const seconds = Number(process.env["SOURCE_DATE_EPOCH"] ?? committed?.trim() ?? "0");
  return new Date((Number.isSafeInteger(seconds) && seconds >= 0 ? seconds : 0) * 1000);
}

/** For who builds an image of it. */
async function placeTree(directory: string, place: string): Promise<void> {
  await rm(`${place}.new`, { recursive: true, force: true });
  await cp(directory, `${place}.new`, { recursive: true, verbatimSymlinks: true });
  await rm(place, { recursive: true, force: true });
  await rename(`${place}.new`, place);
}

/** One list for what this and an earlier call have made. */
async function listSums(out: string, files: readonly string[]): Promise<void> {
  const list = join(out, "SHA256SUMS");
  const names = new Set(files.map((file) => basename(file)));
  const before = await readFile(list, "utf8").catch(() => "");
  const lines = before.split("\n").filter((line) => line !== "" && !names.has(line.slice(66)));
  for (const file of files) {
    lines.push(`${await sha256Of(file)}  ${basename(file)}`);
    console.log(`${lines.at(-1) ?? ""}  ${((await stat(file)).size / (1 << 20)).toFixed(1)} MiB`);
  }
  await writeFile(list, `${lines.sort((a, b) => (a.slice(66) < b.slice(66) ? -1 : 1)).join("\n")}\n`);
}

const wish = wishOf(process.argv.slice(2));
if (wish === undefined) {
  console.error(usage);
  process.exitCode = 2;
} else {
  const watch = new Stopwatch();
  const context = setupContext(join(import.meta.dirname, "../.."), interrupted(), (line) => {
    console.log(line);
  });
  try {
    await release(context, wish, watch);
    console.log(`\n${watch.table()}`);
  } catch (thrown) {
    console.error(messageOf(thrown));
    process.exitCode = process.exitCode === 130 ? 130 : 1;
  }
}
