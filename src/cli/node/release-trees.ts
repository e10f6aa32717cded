/** The releases that the chart has put below a node's /opt: the one that the link leads to, the one before it, and earlier ones. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readdir, readlink, rename, rm, symlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import { RuntimeError } from "../../base/errors.js";
import { isThere } from "../../base/is-there.js";
import { packageVersion } from "../../base/version.js";
import { textOf } from "../install.js";

export const releaseLink = "/opt/a3s-box";
const opt = dirname(releaseLink);
/** Of names that no release by hand has. */
const prefix = "a3s-box-of-chart-";
/** Leads to the tree that the release's link led to before: that of a rollback. */
const beforeLink = `${opt}/a3s-box-of-chart.before`;
/** Of a tree that is being copied, and of one that is being removed: an end half-way leaves neither under a name that counts. */
const half = /\.(?:new|old)$/;
const copyLimitMs = 300_000;

/** By content, too: an image that was built anew under its version is another release. */
export async function treeName(tree: string): Promise<string> {
  const sums = await textOf(join(tree, "SHA256SUMS"));
  if (sums === undefined) {
    throw new RuntimeError("failedPrecondition", "the image's tree has no SHA256SUMS", {
      hint: "build the image of a release: docs/guide/docker.md",
    });
  }
  return `${prefix}${packageVersion()}-${createHash("sha256").update(sums).digest("hex").slice(0, 12)}`;
}

/** Also one that is no more: a link to it is this chart's. */
export function isTree(name: string): boolean {
  return name.startsWith(prefix);
}

export async function treesIn(directory: string): Promise<readonly string[]> {
  return (await readdir(directory)).filter((name) => isTree(name) && !half.test(name));
}

/** Undefined where the link is none, or is not there. */
export async function linkedRelease(host: string): Promise<string | undefined> {
  return await readlink(join(host, releaseLink)).catch(() => undefined);
}

/** True where it was not there. What an earlier end has left half-way goes: nobody else copies or removes one. */
export async function copyTree(from: string, host: string, name: string, signal: AbortSignal): Promise<boolean> {
  await removeHalves(host);
  const to = join(host, opt, name);
  if (await isThere(to)) return false;
  await promisify(execFile)("cp", ["--archive", `${from}/.`, `${to}.new`], { timeout: copyLimitMs, signal });
  await rename(`${to}.new`, to);
  return true;
}

/** True where it led elsewhere. What it led to is noted first: an end in between loses no tree that is kept for a rollback. */
export async function leadTo(host: string, name: string): Promise<boolean> {
  const to = await linkedRelease(host);
  if (to === name) return false;
  if (to !== undefined) await putLink(join(host, beforeLink), basename(to));
  await putLink(join(host, releaseLink), name);
  return true;
}

async function putLink(path: string, to: string): Promise<void> {
  await rm(`${path}.new`, { force: true });
  await symlink(to, `${path}.new`);
  await rename(`${path}.new`, path);
}

/** Neither the one that the link leads to nor the one before it: they go when nothing runs from them. */
export async function spareTrees(host: string): Promise<readonly string[]> {
  const links = [releaseLink, beforeLink].map((path) => readlink(join(host, path)).catch(() => ""));
  const kept = new Set((await Promise.all(links)).map((to) => basename(to)));
  return (await treesIn(join(host, opt))).filter((name) => !kept.has(name));
}

export async function removeTrees(host: string, names: readonly string[]): Promise<void> {
  for (const name of names) await rename(join(host, opt, name), join(host, opt, `${name}.old`));
  await removeHalves(host);
}

async function removeHalves(host: string): Promise<void> {
  for (const name of await readdir(join(host, opt))) {
    if (isTree(name) && half.test(name)) await rm(join(host, opt, name), { recursive: true });
  }
}

/** Also those that something runs from: it goes on, its files have no names any more. */
export async function removeAllTrees(host: string): Promise<void> {
  await removeHalves(host);
  await removeTrees(host, await treesIn(join(host, opt)));
  await rm(join(host, beforeLink), { force: true });
}
