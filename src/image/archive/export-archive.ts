/** Images into a tar of an OCI image layout (OCI image spec, "image-layout.md"), as `importArchive` and skopeo read it. */
import { createReadStream, createWriteStream } from "node:fs";
import { rename, rm, stat } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { pack, type Pack } from "tar-stream";
import { codeOf, messageOf, RuntimeError } from "../../base/errors.js";
import { digestHex, type Digest } from "../../base/ids.js";
import type { CatalogEntry } from "../content/catalog.js";
import { encodeIndexFile } from "../content/index-file.js";
import type { Ingest } from "../content/ingest.js";
import { blobPath, layoutVersion, type StoreDirectory } from "../content/store-directory.js";

/** All entries of the images go with them, and so every name. The file is there whole, or not at all. */
export async function exportArchive(
  parts: { readonly directory: StoreDirectory; readonly ingest: Ingest },
  path: string,
  entries: readonly CatalogEntry[],
  signal: AbortSignal,
): Promise<void> {
  const blobs = [...new Set(entries.flatMap((one) => one.blobs ?? []))];
  const hold = await parts.ingest.hold({ blobs, layers: [] });
  const temporary = `${path}.tmp`;
  const tar = pack();
  const written = pipeline(tar, createWriteStream(temporary, { mode: 0o644, flush: true }), { signal });
  try {
    await Promise.all([fill(tar, parts.directory, entries, blobs, signal), written]);
    await rename(temporary, path);
  } catch (thrown) {
    tar.destroy();
    await written.catch(() => undefined);
    await rm(temporary, { force: true });
    if (signal.aborted) throw new RuntimeError("canceled", `the export to ${path} was given up`);
    throw new RuntimeError(codeOf(thrown), messageOf(thrown), { stage: `export ${path}`, cause: thrown });
  } finally {
    await hold.release();
  }
}

async function fill(
  tar: Pack,
  directory: StoreDirectory,
  entries: readonly CatalogEntry[],
  blobs: readonly Digest[],
  signal: AbortSignal,
): Promise<void> {
  tar.entry({ name: "oci-layout" }, layoutVersion);
  tar.entry({ name: "index.json" }, encodeIndexFile(entries.map(({ entry }) => entry)));
  for (const blob of blobs) {
    const { size } = await stat(blobPath(directory, blob));
    const member = tar.entry({ name: `blobs/sha256/${digestHex(blob)}`, size });
    await pipeline(createReadStream(blobPath(directory, blob)), member, { signal });
  }
  tar.finalize();
}
