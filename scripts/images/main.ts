import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { messageOf } from "../../src/base/errors.js";
import { buildDist } from "../setup/dist.js";
import { interrupted } from "../setup/interrupted.js";
import { ociArchive } from "../setup/oci-archive.js";
import type { SetupContext } from "../setup/run.js";
import { setUp, setupContext, usableDriver } from "../setup/set-up.js";
import type { AgentKind } from "../../src/config/agents.js";
import { codingAgents } from "../setup/assets/coding-agents.js";
import { agentImage, imagedAgents, isAgent, requirePublished } from "./agents.js";
import { type BuiltImage, buildImages, isTemplate, type TemplateName, templateNames } from "./build.js";
import { downloadLayers } from "./packages.js";

const usage = `npm run images -- NAME… [OPTIONS]     NAME: ${[...templateNames, ...imagedAgents].join(", ")}
  --out DIR       where NAME.tar is written; left out: build/images
  --import        bring them into the daemon's image store too, as root
  --root DIR      the daemon's root, where that is not the configuration's
  --config FILE   the daemon's configuration`;

interface Wish {
  readonly names: readonly (TemplateName | AgentKind)[];
  readonly out: string;
  readonly import: boolean;
  /** For `image import`. */
  readonly flags: readonly string[];
}

function wishOf(argv: readonly string[]): Wish | undefined {
  try {
    const options = {
      out: { type: "string", default: "build/images" },
      import: { type: "boolean", default: false },
      root: { type: "string" },
      config: { type: "string" },
    } as const;
    const { values, positionals } = parseArgs({ args: [...argv], options, allowPositionals: true });
    const names = positionals.filter((name) => isTemplate(name) || isAgent(name));
    if (names.length === 0 || names.length < positionals.length) return undefined;
    const flag = (name: "root" | "config"): string[] => {
      const value = values[name];
      return value === undefined ? [] : [`--${name}`, value];
    };
    return { names, out: resolve(values.out), import: values.import, flags: [...flag("root"), ...flag("config")] };
  } catch {
    return undefined; // the usage says it
  }
}

async function main(): Promise<number> {
  const wish = wishOf(process.argv.slice(2));
  if (wish === undefined) {
    console.error(usage);
    return 2;
  }
  for (const name of wish.names) if (isAgent(name)) requirePublished(name);
  const context = setupContext(join(import.meta.dirname, "../.."), interrupted(), (line) => {
    console.log(line);
  });
  const built = await build(context);
  await mkdir(wish.out, { recursive: true });
  const modules = wish.names.some(isAgent) ? join(await codingAgents(context), "node_modules") : "";
  for (const name of wish.names) {
    const image = isAgent(name) ? await agentImage(name, built.base, modules) : built[name];
    const archive = join(wish.out, `${name}.tar`);
    const { tar, digest } = await ociArchive(image);
    await writeFile(`${archive}.new`, tar);
    await rename(`${archive}.new`, archive);
    console.log(`\n${archive}\n  ${image.name}  ${digest}  ${mib(tar.length)}\n${tableOf(image)}`);
    if (wish.import) await importArchive(context, archive, wish.flags);
  }
  return 0;
}

async function build(context: SetupContext): Promise<Record<TemplateName, BuiltImage>> {
  const directory = await mkdtemp(join(tmpdir(), "a3s-images-"));
  try {
    context.say("fetching packages");
    const files = await downloadLayers(context, directory);
    context.say(`building from ${String(files.flat().length)} packages`);
    return await buildImages(files, context.signal);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** By the command that a person would use. */
async function importArchive(context: SetupContext, archive: string, flags: readonly string[]): Promise<void> {
  await setUp(context, { drivers: [await usableDriver(context)], forTests: false });
  await buildDist(context);
  const args = ["dist/main.js", "image", "import", ...flags, archive];
  const child = spawn(process.execPath, args, { cwd: context.root, stdio: "inherit", signal: context.signal });
  const status = await new Promise<number | null>((done, failed) => {
    child.once("error", failed);
    child.once("close", done);
  });
  if (status !== 0) throw new Error(`image import ended with ${String(status)}`);
}

function tableOf({ layers, report }: BuiltImage): string {
  const rows = report.map(({ name, files, bytes }, at) => {
    const compressed = mib(layers[at]?.bytes.length ?? 0);
    return `  ${name.padEnd(12)} ${String(files).padStart(6)} files ${mib(bytes)} ${compressed} compressed`;
  });
  return rows.join("\n");
}

function mib(bytes: number): string {
  return `${(bytes / (1 << 20)).toFixed(1).padStart(6)} MiB`;
}

try {
  process.exitCode = await main();
} catch (thrown) {
  console.error(messageOf(thrown));
  process.exitCode = process.exitCode === 130 ? 130 : 1;
}
