import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { RuntimeError } from "../../../src/base/errors.js";
import { checkSha256, sha256Of } from "../digests.js";
import { run, type SetupContext } from "../run.js";
import type { PrivateApt } from "./private-apt.js";

export interface DebWish {
  readonly name: string;
  readonly version: string;
  readonly sha256: string;
}

/**
 * Downloads one package into a directory and returns the file. apt checks it against the signed lists; version and digest
 * are checked against ours on top.
 */
export async function downloadPinned(
  context: SetupContext,
  apt: PrivateApt,
  wish: DebWish,
  directory: string,
): Promise<string> {
  const deb = await download(context, apt, `${wish.name}=${wish.version}`, directory);
  await checkSha256(`${wish.name} ${wish.version}`, deb, wish.sha256);
  return deb;
}

/** Downloads `NAME` or `NAME=VERSION` into an empty directory and returns the file. */
export async function download(
  context: SetupContext,
  apt: PrivateApt,
  wish: string,
  directory: string,
): Promise<string> {
  await run("apt-get", [...apt.options, "-q", "download", wish], { signal: context.signal, cwd: directory });
  const prefix = `${wish.split("=")[0] ?? wish}_`;
  const deb = (await readdir(directory)).find((name) => name.startsWith(prefix) && name.endsWith(".deb"));
  if (deb === undefined) throw new RuntimeError("internal", `apt-get download ${wish} left no file`);
  return join(directory, deb);
}

/** Downloads packages with all they depend on, as on an empty machine, and returns the files. */
export async function downloadClosure(
  context: SetupContext,
  apt: PrivateApt,
  names: readonly string[],
  /** Of `apt-get`: the release that is preferred. */
  preferred: readonly string[] = [],
): Promise<string[]> {
  const archives = join(apt.directory, "cache", "archives");
  await run("apt-get", [...apt.options, "clean"], { signal: context.signal });
  const words = ["-q", "-y", "--no-install-recommends", "--download-only", ...preferred, "install", ...names];
  await run("apt-get", [...apt.options, ...words], { signal: context.signal });
  const debs = (await readdir(archives)).filter((name) => name.endsWith(".deb"));
  return debs.sort().map((name) => join(archives, name));
}

export async function unpack(context: SetupContext, deb: string, directory: string): Promise<void> {
  await run("dpkg-deb", ["-x", deb, directory], { signal: context.signal });
}

/** What a release says of a package that something in it was taken from. */
export interface PackageFacts {
  readonly name: string;
  readonly version: string;
  /** The source package, with its version where that differs: what the distribution has the sources under. */
  readonly source: string;
  readonly sha256: string;
}

export async function packageFacts(context: SetupContext, deb: string): Promise<PackageFacts> {
  const words = ["--showformat=${Package}\n${Version}\n${source:Package} ${source:Version}", "--show", deb];
  const [name = "", version = "", source = ""] = (await run("dpkg-deb", words, { signal: context.signal })).split("\n");
  return { name, version, source, sha256: await sha256Of(deb) };
}
