import { copyFile, mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { hasRust, installSystemPackages } from "../apt/system-packages.js";
import { checkLockedCrate } from "../digests.js";
import { applyPatches } from "./patches.js";
import { run, type SetupContext, tryRun } from "../run.js";

/**
 * A compiler that can build our crates: the machine's own, else the distribution's `-web` packages, which Debian keeps
 * new for its browsers (the plain `rustc` of Debian 12 is 1.63).
 */
export async function ensureRust(context: SetupContext, withLints = false): Promise<void> {
  if (await hasRust(context)) return;
  const lints = withLints ? ["rust-web-clippy", "rustfmt-web"] : [];
  await installSystemPackages(context, { names: ["rustc-web", "cargo-web", ...lints], fromBackports: [] });
}

export interface CargoOptions {
  readonly cwd: string;
  readonly logFile: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** What our programs are built for, and on. */
const target = "x86_64-unknown-linux-gnu";

export async function cargo(context: SetupContext, args: readonly string[], options: CargoOptions): Promise<void> {
  const env = {
    CARGO_TERM_COLOR: "never",
    CARGO_INCREMENTAL: "0",
    ...(await toolchain(context, options.cwd)),
    ...options.env,
  };
  const words = ["--config", withoutPlaces(options.cwd, args[args.indexOf("--target-dir") + 1]), ...args];
  await run("cargo", words, { signal: context.signal, cwd: options.cwd, logFile: options.logFile, env });
}

/** Messages of panics name source files: by where they are in a crate, not on the machine that built it. */
function withoutPlaces(directory: string, targetDirectory: string | undefined): string {
  const home = process.env["CARGO_HOME"] ?? join(homedir(), ".cargo");
  const places = [`${home}/registry/src=/registry`, `${directory}=/source`];
  // What build scripts write is compiled from there.
  if (targetDirectory?.startsWith("/") === true) places.push(`${targetDirectory}=/target`);
  const flags = places.map((each) => `--remap-path-prefix=${each}`);
  return `target.${target}.rustflags=${JSON.stringify(flags)}`;
}

/** A published crate, and the digest of what was published. */
export interface CrateWish {
  readonly name: string;
  readonly version: string;
  readonly sha256: string;
  /** Of `cargo install`. */
  readonly more?: readonly string[];
}

/** Builds a program of a published crate, with the versions of its own lock file, and puts it into `directory`. */
export async function crateProgram(
  context: SetupContext,
  { name, version, sha256, more = [] }: CrateWish,
  directory: string,
  options: Omit<CargoOptions, "cwd">,
): Promise<void> {
  const work = await mkdtemp(join(directory, "work-"));
  await checkPublished(context, { name, version, sha256 }, work, options);
  const args = ["install", name, "--version", version, "--locked", "--root", work, ...more];
  await cargo(context, [...args, "--target-dir", join(work, "target")], { ...options, cwd: directory });
  await copyFile(join(work, "bin", name), join(directory, name));
  await rm(work, { recursive: true });
}

/** The same from its sources with patches of ours, which are in the directory `patches`. */
export async function patchedCrateProgram(
  context: SetupContext,
  { name, version, sha256, patches }: CrateWish & { readonly patches: string },
  directory: string,
  logFile: string,
): Promise<void> {
  const work = await mkdtemp(join(directory, "work-"));
  await checkPublished(context, { name, version, sha256 }, work, { logFile });
  // Cargo unpacks what it has checked; nothing of it is run.
  await cargo(context, ["vendor", "--locked", "--versioned-dirs", "vendor"], { cwd: join(work, "digest"), logFile });
  const source = join(work, "digest", "vendor", `${name}-${version}`);
  const place = join(work, "source");
  await rename(source, place);
  await applyPatches(context, { patches, to: place }, logFile);
  await cargo(context, ["build", "--release", "--locked", "--target-dir", join(work, "target")], {
    cwd: place,
    logFile,
  });
  await copyFile(join(work, "target", "release", name), join(directory, name));
  await rm(work, { recursive: true });
}

/** Before anything of it is built: its build script would run. */
async function checkPublished(
  context: SetupContext,
  { name, version, sha256 }: CrateWish,
  work: string,
  options: Omit<CargoOptions, "cwd">,
): Promise<void> {
  const directory = join(work, "digest");
  await mkdir(join(directory, "src"), { recursive: true });
  await writeFile(join(directory, "src/lib.rs"), "");
  const manifest = `[package]\nname = "digest"\nversion = "0.0.0"\n[dependencies]\n${name} = "=${version}"\n[workspace]\n`;
  await writeFile(join(directory, "Cargo.toml"), manifest);
  await cargo(context, ["generate-lockfile"], { ...options, cwd: directory });
  checkLockedCrate(await readFile(join(directory, "Cargo.lock"), "utf8"), name, version, sha256);
}

/**
 * rustup obeys a directory's rust-toolchain.toml by a download that a machine behind package registries can't make: where
 * the toolchain named there is not installed, the default one serves.
 */
export async function toolchain(context: SetupContext, directory: string): Promise<Record<string, string>> {
  const pinned = await readFile(join(directory, "rust-toolchain.toml"), "utf8").catch(() => "");
  const channel = /^channel\s*=\s*"([^"]+)"/m.exec(pinned)?.[1];
  const installed = await tryRun("rustup", ["toolchain", "list"], { signal: context.signal });
  if (channel === undefined || installed === undefined) return {};
  const names = installed.split("\n").filter((name) => name !== "");
  if (names.some((name) => name.startsWith(channel))) return {};
  const usual = names.find((name) => name.includes("default"))?.split(" ")[0];
  return usual === undefined ? {} : { RUSTUP_TOOLCHAIN: usual };
}

/** What decides a compiled crate besides its sources. */
export async function rustInputs(context: SetupContext): Promise<string[]> {
  const version = await tryRun("rustc", ["--version"], { signal: context.signal });
  return [version?.trim() ?? "rustc of the distribution", "sources without their places"];
}
