/** The crates that are in our Rust programs, by Cargo's own word, and the compiler's library. */
import { mkdtemp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import * as z from "zod";
import { RuntimeError } from "../../src/base/errors.js";
import { sha256Of } from "../setup/digests.js";
import { run, type SetupContext } from "../setup/run.js";
import { toolchain } from "../setup/assets/rust.js";
import { virtiofsdCrate } from "../setup/assets/virtiofsd.js";
import { textsIn } from "./npm-parts.js";
import type { Part } from "./parts.js";

const target = "x86_64-unknown-linux-gnu";
const metadata = z.object({
  packages: z.array(
    z.object({
      id: z.string(),
      name: z.string(),
      version: z.string(),
      license: z.string().nullable(),
      source: z.string().nullable(),
      manifest_path: z.string(),
    }),
  ),
  workspace_root: z.string(),
  resolve: z.object({
    nodes: z.array(
      z.object({
        id: z.string(),
        deps: z.array(z.object({ pkg: z.string(), dep_kinds: z.array(z.object({ kind: z.string().nullable() })) })),
      }),
    ),
  }),
});
type Metadata = z.infer<typeof metadata>;

/** Those of agent and libkrun as their lock files have them, and of virtiofsd as its own has. */
export async function crateParts(context: SetupContext, wish: { readonly qemu: boolean }): Promise<Part[]> {
  const ours = [
    { directory: join(context.root, "guest"), top: "agent" },
    { directory: join(context.root, "native-deps/libkrun"), top: "libkrun-so" },
  ];
  const lists = await Promise.all(ours.map(async ({ directory, top }) => await cratesOf(context, directory, top)));
  const more = wish.qemu ? await cratesOfPublished(context) : [];
  return [...lists.flat(), ...more, await standardLibrary(context)];
}

async function cratesOf(context: SetupContext, directory: string, top: string): Promise<Part[]> {
  const env = await toolchain(context, directory);
  const args = ["metadata", "--format-version=1", "--locked", `--filter-platform=${target}`];
  const found = metadata.parse(JSON.parse(await run("cargo", args, { signal: context.signal, cwd: directory, env })));
  const lock = await readFile(join(found.workspace_root, "Cargo.lock"), "utf8");
  return await partsOf(found, top, lock);
}

/** virtiofsd's own directory among Cargo's: a package that depends on it makes Cargo put it there. */
async function cratesOfPublished(context: SetupContext): Promise<Part[]> {
  const { name, version, sha256 } = virtiofsdCrate;
  const directory = await mkdtemp(join(tmpdir(), "a3s-crate-"));
  try {
    await mkdir(join(directory, "src"));
    await writeFile(join(directory, "src/lib.rs"), "");
    const text = `[package]\nname = "digest"\nversion = "0.0.0"\n[dependencies]\n${name} = "=${version}"\n[workspace]\n`;
    await writeFile(join(directory, "Cargo.toml"), text);
    const args = ["metadata", "--format-version=1", `--filter-platform=${target}`];
    const env = await toolchain(context, directory);
    const found = metadata.parse(JSON.parse(await run("cargo", args, { signal: context.signal, cwd: directory, env })));
    const own = found.packages.find((one) => one.name === name && one.version === version);
    if (own === undefined) throw new RuntimeError("internal", `cargo has no ${name} ${version}`);
    const inside = await cratesOf(context, dirname(own.manifest_path), name);
    return [await partOf(own, sha256), ...inside];
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function partsOf({ packages, resolve }: Metadata, top: string, lock: string): Promise<Part[]> {
  const first = packages.find(({ name, source }) => name === top && source === null);
  if (first === undefined) throw new RuntimeError("internal", `cargo metadata has no ${top}`);
  const linked = new Set<string>();
  const todo = [first.id];
  for (let id = todo.pop(); id !== undefined; id = todo.pop()) {
    if (linked.has(id)) continue;
    linked.add(id);
    const deps = resolve.nodes.find((node) => node.id === id)?.deps ?? [];
    // What runs while it is compiled ("build") is in no program.
    todo.push(...deps.filter((dep) => dep.dep_kinds.some(({ kind }) => kind === null)).map(({ pkg }) => pkg));
  }
  const checksums = checksumsOf(lock);
  const found = packages.filter(({ id, source }) => linked.has(id) && source !== null);
  return await Promise.all(found.map(async (one) => await partOf(one, checksums.get(`${one.name} ${one.version}`))));
}

async function partOf(one: Metadata["packages"][number], sha256: string | undefined): Promise<Part> {
  const { name, version, license } = one;
  if (sha256 === undefined) throw new RuntimeError("internal", `Cargo.lock has no digest of ${name} ${version}`);
  return {
    ...{ kind: "crate", name, version, inclusion: "STATIC_LINK" },
    licence: (license ?? "NOASSERTION").replaceAll("/", " OR "),
    digest: { algorithm: "SHA256", hex: sha256 },
    purl: `pkg:cargo/${name}@${version}`,
    texts: await textsIn(dirname(one.manifest_path)),
  };
}

export function checksumsOf(lock: string): Map<string, string> {
  const pattern = /^name = "([^"]+)"\nversion = "([^"]+)"\nsource = "[^"]*"\nchecksum = "([0-9a-f]{64})"$/gm;
  return new Map(
    [...lock.matchAll(pattern)].map(([, name = "", version = "", sum = ""]) => [`${name} ${version}`, sum]),
  );
}

async function standardLibrary(context: SetupContext): Promise<Part> {
  const options = { signal: context.signal, env: await toolchain(context, join(context.root, "guest")) };
  const version = /^rustc (\S+)/.exec(await run("rustc", ["--version"], options))?.[1] ?? "unknown";
  const sysroot = (await run("rustc", ["--print", "sysroot"], options)).trim();
  const directory = join(sysroot, "lib/rustlib", target, "lib");
  const library = (await readdir(directory)).find((name) => /^libstd-.*\.rlib$/.test(name));
  if (library === undefined) throw new RuntimeError("internal", `no standard library of Rust in ${directory}`);
  return {
    ...{ kind: "rust", name: "rust-std", version, licence: "MIT OR Apache-2.0", inclusion: "STATIC_LINK" },
    digest: { algorithm: "SHA256", hex: await sha256Of(join(directory, library)) },
    purl: `pkg:generic/rust-std@${version}`,
    comment: "The digest is that of the library's file.",
    texts: [],
  };
}
