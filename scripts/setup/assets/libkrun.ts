import { copyFile, cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { RuntimeError } from "../../../src/base/errors.js";
import { installSystemPackages } from "../apt/system-packages.js";
import { cached } from "../cache.js";
import { sourceInputs } from "../fingerprint.js";
import { run, type SetupContext } from "../run.js";
import { applyPatches } from "./patches.js";
import { cargo, ensureRust, rustInputs } from "./rust.js";

const crate = "native-deps/libkrun";
const locked = ["Cargo.toml", "Cargo.lock", "src", "patches"].map((name) => `${crate}/${name}`);

/** Calls of the launcher that no libkrun has without our patches. */
const needed = ["krun_a3s_patched", "krun_set_kvm_fd", "krun_set_console_output_fd", "krun_add_net_tap_fd"];

/** The sources that Cargo builds from, instead of the registry's: `Cargo.lock` still says what each crate's package is. */
const vendored = `[source.crates-io]
replace-with = "vendored-sources"

[source.vendored-sources]
directory = "vendor"
`;

interface Library {
  /** In the cache. */
  readonly name: string;
  readonly package: string;
  /** What Cargo calls it below `release/`, and its name in the end. */
  readonly built: RegExp;
  readonly file: string;
  readonly inputs: readonly string[];
}

/** The path of a `libkrun.so.1` of the published crate and our patches: a distribution's has not got these. */
export async function libkrun(context: SetupContext): Promise<string> {
  return await build(context, {
    name: "libkrun",
    package: "libkrun-so",
    built: /^libkrun-[0-9a-f]+\.so$/,
    file: "libkrun.so.1",
    inputs: locked,
  });
}

/** The path of a library that is libkrun's virtio-fs device alone, for `test/escape`. */
export async function krunFileServer(context: SetupContext): Promise<string> {
  return await build(context, {
    name: "krun-file-server",
    package: "krun-file-server",
    built: /^libkrun_file_server\.so$/,
    file: "libkrun_file_server.so",
    inputs: [...locked, `${crate}/file-server`],
  });
}

async function build(context: SetupContext, library: Library): Promise<string> {
  await ensureRust(context);
  const inputs = [...(await sourceInputs(context.root, library.inputs)), ...(await rustInputs(context))];
  const directory = await cached(context, {
    name: library.name,
    inputs,
    build: async (place, logFile) => {
      await installSystemPackages(context, { names: ["gcc", "libc6-dev", "patch"], fromBackports: [] });
      const work = await mkdtemp(join(place, "work-"));
      await patchedSources(context, work, logFile);
      const args = ["build", "--release", "--locked", "--offline", "--package", library.package];
      await cargo(context, [...args, "--target-dir", join(work, "target")], { cwd: work, logFile });
      const built = join(work, "target/release/deps");
      const found = (await readdir(built)).find((name) => library.built.test(name));
      if (found === undefined) throw new RuntimeError("internal", `cargo made no ${library.file}`);
      await copyFile(join(built, found), join(place, library.file));
      await rm(work, { recursive: true });
      if (library.name === "libkrun") await mustHaveSymbols(context, join(place, library.file));
    },
  });
  return join(directory, library.file);
}

/** Fills a directory with our crate, all that it is built from as Cargo.lock has it, and the patches on that. */
async function patchedSources(context: SetupContext, work: string, logFile: string): Promise<void> {
  await cp(join(context.root, crate), work, { recursive: true });
  await cargo(context, ["vendor", "--locked", "vendor"], { cwd: work, logFile });
  await mkdir(join(work, ".cargo"));
  await writeFile(join(work, ".cargo/config.toml"), vendored);
  const series = { patches: join(work, "patches"), to: join(work, "vendor") };
  const touched = await applyPatches(context, series, logFile);
  for (const name of touched) await forgetFileDigests(join(work, "vendor", name, ".cargo-checksum.json"));
}

/** Those of the single files, which Cargo has compared already: a patched one differs. That of the package stays. */
async function forgetFileDigests(path: string): Promise<void> {
  const digest = /"package":"([0-9a-f]{64})"/.exec(await readFile(path, "utf8"))?.[1];
  if (digest === undefined) throw new RuntimeError("internal", `${path} has no digest of the package`);
  await writeFile(path, JSON.stringify({ files: {}, package: digest }));
}

async function mustHaveSymbols(context: SetupContext, path: string): Promise<void> {
  const table = await run("readelf", ["-W", "--dyn-syms", path], { signal: context.signal });
  const missing = needed.filter((name) => !new RegExp(`\\b${name}$`, "m").test(table));
  if (missing.length > 0) throw new RuntimeError("internal", `the built libkrun lacks ${missing.join(", ")}`);
}
