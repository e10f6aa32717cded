/** The TypeScript SDK as its users have it: packed, and installed by npm into a directory that has nothing else. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import type * as Sdk from "../../../sdk/typescript/src/index.js";
import { projectDirectory } from "../project.js";
import { limit } from "../wait.js";

const run = promisify(execFile);

export type SdkModule = typeof Sdk;

export interface InstalledSdk {
  readonly directory: string;
  readonly sdk: SdkModule;
  /** Puts a package of the project beside it. */
  link(name: string): Promise<void>;
  remove(): Promise<void>;
}

export async function installSdk(): Promise<InstalledSdk> {
  const directory = await mkdtemp(join(tmpdir(), "a3s-sdk-"));
  try {
    const source = join(projectDirectory, "sdk/typescript");
    const options = { timeout: limit(120_000), env: { ...process.env, npm_config_update_notifier: "false" } };
    await run("npm", ["pack", "--silent", "--pack-destination", directory], { ...options, cwd: source });
    const [archive = ""] = await readdir(directory);
    await writeFile(join(directory, "package.json"), '{ "name": "app", "private": true, "type": "module" }\n');
    const words = ["install", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"];
    await run("npm", [...words, `./${archive}`], { ...options, cwd: directory });
    const entry = join(directory, "node_modules/a3s-box-sdk/dist/index.js");
    const loaded: unknown = await import(pathToFileURL(entry).href);
    if (!isSdk(loaded)) throw new Error("the package has no Sandbox");
    return {
      directory,
      sdk: loaded,
      link: async (name) => {
        const target = join(directory, "node_modules", name);
        await mkdir(join(target, ".."), { recursive: true });
        await symlink(join(projectDirectory, "node_modules", name), target);
      },
      remove: () => rm(directory, { recursive: true }),
    };
  } catch (thrown) {
    await rm(directory, { recursive: true, force: true });
    throw thrown;
  }
}

/** A module's text with another package in the place of one. */
export async function withImport(file: string, from: string, to: string): Promise<string> {
  const text = await readFile(file, "utf8");
  const said = `from "${from}";`;
  if (!text.includes(said)) throw new Error(`${file} imports nothing from ${from}`);
  return text.replace(said, `from "${to}";`);
}

function isSdk(value: unknown): value is SdkModule {
  return typeof value === "object" && value !== null && "Sandbox" in value;
}
