/**
 * Reads a file of an image as its containers would see it, without a mount: layers are looked through from the top, with
 * whiteouts and opaque directories; links are followed by hand and never leave the image.
 */
import { constants, type BigIntStats } from "node:fs";
import { lstat, open, readlink } from "node:fs/promises";
import { dirname } from "node:path";
import { errnoOf, RuntimeError } from "../../base/errors.js";
import { readLayerNotes } from "../unpack/layer-notes.js";

const maxLinks = 40;
const maxFileBytes = 1024 * 1024;

/** Where a name of the merged tree is: directories may lie in several layers, uppermost first. */
type Found =
  | { readonly kind: "directory"; readonly layers: readonly Place[] }
  | { readonly kind: "link"; readonly target: string }
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "other" };

interface Place {
  readonly path: string;
  readonly layer: Layer;
}

interface Layer {
  readonly root: string;
  readonly opaqueDirectories: ReadonlySet<string>;
}

/** `roots` uppermost first. Null: not there, not a file, or larger than 1 MiB. */
export async function readImageFile(roots: readonly string[], path: string): Promise<Buffer | null> {
  const layers = await Promise.all(roots.map(readLayer));
  const top: Place[] = topOf(layers.map((layer) => ({ path: "", layer })));
  const stack: (readonly Place[])[] = [top];
  let names = split(path);
  let links = 0;
  while (names.length > 0) {
    const [name, ...rest] = names;
    names = rest;
    if (name === "..") {
      if (stack.length > 1) stack.pop();
      continue;
    }
    const found = await lookUp(stack.at(-1) ?? top, name ?? "");
    if (found === null || found.kind === "other") return null;
    if (found.kind === "file") return names.length === 0 ? await readBounded(found.path) : null;
    if (found.kind === "directory") {
      stack.push(found.layers);
      continue;
    }
    links += 1;
    if (links > maxLinks) return null;
    if (found.target.startsWith("/")) stack.splice(1);
    names = [...split(found.target), ...rest];
  }
  return null;
}

async function readLayer(root: string): Promise<Layer> {
  try {
    return { root, opaqueDirectories: new Set((await readLayerNotes(dirname(root))).opaqueDirectories) };
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return { root, opaqueDirectories: new Set() }; // the empty root of no layers
    throw thrown;
  }
}

async function lookUp(places: readonly Place[], name: string): Promise<Found | null> {
  const directories: Place[] = [];
  for (const { path, layer } of places) {
    const inner = path === "" ? name : `${path}/${name}`;
    const full = `${layer.root}/${inner}`;
    const found = await lstatOrNull(full);
    if (found === null) continue;
    if (found.isDirectory()) {
      directories.push({ path: inner, layer });
      continue;
    }
    if (directories.length > 0 || isWhiteout(found)) break;
    if (found.isSymbolicLink()) return { kind: "link", target: await readlink(full) };
    return found.isFile() ? { kind: "file", path: full } : { kind: "other" };
  }
  return directories.length === 0 ? null : { kind: "directory", layers: topOf(directories) };
}

/** An opaque directory is the last one that counts. */
function topOf(places: Place[]): Place[] {
  const opaque = places.findIndex(({ path, layer }) => layer.opaqueDirectories.has(path));
  return opaque < 0 ? places : places.slice(0, opaque + 1);
}

/** overlayfs.rst: a character device 0:0. */
function isWhiteout(found: BigIntStats): boolean {
  return found.isCharacterDevice() && found.rdev === 0n;
}

async function lstatOrNull(path: string): Promise<BigIntStats | null> {
  try {
    return await lstat(path, { bigint: true });
  } catch (thrown) {
    const errno = errnoOf(thrown);
    if (errno === "ENOENT" || errno === "ENAMETOOLONG") return null;
    throw thrown;
  }
}

async function readBounded(path: string): Promise<Buffer | null> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  const { size } = await file.stat();
  if (size > maxFileBytes) return null;
  const content = await file.readFile();
  if (content.length > maxFileBytes) throw new RuntimeError("internal", `${path} grew while it was read`);
  return content;
}

function split(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}
