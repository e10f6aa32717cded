/** A tar of an OCI image layout (OCI image spec, "image-layout.md"). */
import { readFile } from "node:fs/promises";
import { RuntimeError } from "../../base/errors.js";
import type { Digest } from "../../base/ids.js";
import { parseIndexFile, type IndexEntry } from "../content/index-file.js";
import { choosePlatform, hostPlatform, maxManifestBytes, parseManifest } from "../content/manifest.js";
import { ociIndex } from "../content/media-types.js";
import { formatName, formatReference, parseReference } from "../reference/reference.js";
import type { IncomingImage } from "../store/bring-in.js";
import { spooledFile, type Spool, type SpooledFile } from "./spool.js";

export async function readOciArchive(
  spool: Spool,
  index: SpooledFile,
  defaultRegistry: string,
): Promise<IncomingImage[]> {
  const bytes = await readSmall(index, "index.json");
  const platforms = parseManifest(bytes, ociIndex);
  if (platforms.kind === "manifest") throw new RuntimeError("invalidArgument", "index.json is a manifest");
  const foreign = new Set(
    platforms.manifests
      .filter(({ platform }) => platform !== undefined && platform !== hostPlatform())
      .map((entry) => entry.digest),
  );
  const entries = parseIndexFile(bytes.toString("utf8"));
  const own = entries.filter((entry) => !foreign.has(entry.digest));
  if (own.length === 0) choosePlatform(platforms, hostPlatform()); // says what there is
  return mergeNames(await Promise.all(own.map((entry) => readImage(spool, entry, defaultRegistry))));
}

async function readImage(spool: Spool, entry: IndexEntry, defaultRegistry: string): Promise<IncomingImage> {
  let at: { readonly digest: Digest; readonly mediaType: string } = entry;
  for (let depth = 0; depth < 3; depth += 1) {
    const bytes = await readSmall(ociBlob(spool, at.digest), at.digest);
    const parsed = parseManifest(bytes, at.mediaType);
    if (parsed.kind === "manifest") {
      const names = namesOf(entry, defaultRegistry);
      const { digest, mediaType } = at;
      return { bytes, mediaType, manifest: parsed, digest, names, servedDigest: entry.digest };
    }
    at = choosePlatform(parsed, hostPlatform());
  }
  throw new RuntimeError("invalidArgument", `${entry.digest} is an index within indices`);
}

/** One entry per name and image is common: they are one image with several names. */
function mergeNames(images: readonly IncomingImage[]): IncomingImage[] {
  const merged = new Map<Digest, IncomingImage>();
  for (const image of images) {
    const known = merged.get(image.digest);
    const names = [...new Set([...(known?.names ?? []), ...image.names])];
    merged.set(image.digest, { ...(known ?? image), names });
  }
  return [...merged.values()];
}

/** A reference name that is only a tag ("latest") names no image. */
function namesOf(entry: IndexEntry, defaultRegistry: string): string[] {
  const raw = entry.containerdName ?? (entry.name !== undefined && /[:/]/.test(entry.name) ? entry.name : undefined);
  if (raw === undefined) return [];
  const reference = parseReference(raw, defaultRegistry);
  const byDigest = `${formatName(reference)}@${entry.digest}`;
  return reference.kind === "tag" ? [formatReference(reference), byDigest] : [byDigest];
}

function ociBlob(spool: Spool, digest: Digest): SpooledFile {
  const file = spooledFile(spool, `blobs/${digest.replace(":", "/")}`);
  if (file !== undefined) return file;
  throw new RuntimeError("invalidArgument", `the archive has no blob ${digest}, which it names`);
}

export async function readSmall(file: SpooledFile, what: string): Promise<Buffer> {
  if (file.sizeBytes <= maxManifestBytes) return await readFile(file.path);
  throw new RuntimeError("invalidArgument", `${what} has more than ${maxManifestBytes} bytes`);
}
