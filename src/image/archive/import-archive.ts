/** Images from a file, for machines without a registry. */
import { mkdir } from "node:fs/promises";
import { codeOf, messageOf, RuntimeError } from "../../base/errors.js";
import type { Digest } from "../../base/ids.js";
import { Limiter } from "../../base/limiter.js";
import { neverAborted } from "../../base/signals.js";
import type { Native } from "../../native/addon.js";
import { adoptBlob, hasBlob } from "../content/blobs.js";
import { bringIn, type IncomingImage, type StoreParts } from "../store/bring-in.js";
import type { ProvideBlob } from "../unpack/layers.js";
import { readDockerArchive } from "./docker-archive.js";
import { readOciArchive } from "./oci-archive.js";
import { spoolArchive, spooledFile, type Spool, type SpooledFile } from "./spool.js";

/** Ids of the images that are in the store then, each once. */
export async function importArchive(
  parts: StoreParts & { readonly native: Native },
  archive: string,
  defaultRegistry: string,
  signal: AbortSignal,
): Promise<Digest[]> {
  const directory = parts.ingest.freshPath("archive");
  await mkdir(directory, { mode: 0o700 });
  try {
    const spool = await spoolArchive(archive, directory, signal);
    checkBlobNames(spool);
    const ids = new Set<Digest>();
    for (const image of await readImages(spool, defaultRegistry)) {
      ids.add(await bringIn(parts, image, provideFrom(parts, spool), signal));
    }
    return [...ids];
  } catch (thrown) {
    throw importFailure(archive, thrown, signal);
  } finally {
    await parts.native.removeTree(directory);
  }
}

/** New `docker save` writes both kinds into one tar; the layout says more. */
async function readImages(spool: Spool, defaultRegistry: string): Promise<IncomingImage[]> {
  const index = spooledFile(spool, "index.json");
  if (index !== undefined) return await readOciArchive(spool, index, defaultRegistry);
  const manifest = spooledFile(spool, "manifest.json");
  if (manifest !== undefined) return await readDockerArchive(spool, manifest, defaultRegistry);
  throw new RuntimeError("invalidArgument", "it has neither index.json nor manifest.json", {
    hint: "give a tar of an OCI image layout, or one that docker save wrote",
  });
}

function checkBlobNames(spool: Spool): void {
  for (const [name, file] of spool.files) {
    const hex = /^blobs\/sha256\/([0-9a-f]{64})$/.exec(name)?.[1];
    if (hex !== undefined && file.digest !== `sha256:${hex}`) {
      throw new RuntimeError("invalidArgument", `its blob sha256:${hex} has the content of ${file.digest}`, {
        hint: "the archive is damaged; write it again",
      });
    }
  }
}

function provideFrom(parts: StoreParts, spool: Spool): ProvideBlob {
  const byDigest = new Map<Digest, SpooledFile>();
  for (const file of spool.files.values()) byDigest.set(file.digest, file);
  const turns = new Limiter<Digest>({ perKey: 1 }); // layers of one content, in two places of an image
  return async (blob) => {
    await turns.run(blob.digest, neverAborted, async () => {
      if (await hasBlob(parts.directory, blob.digest, blob.size)) return;
      const file = byDigest.get(blob.digest);
      if (file === undefined || file.sizeBytes !== blob.size) {
        throw new RuntimeError("invalidArgument", `the archive has no blob ${blob.digest} of ${blob.size} bytes`);
      }
      await adoptBlob(parts.directory, blob.digest, file.path);
    });
  };
}

/** A file that is wrong is the caller's to mend. */
function importFailure(archive: string, thrown: unknown, signal: AbortSignal): RuntimeError {
  if (signal.aborted) return new RuntimeError("canceled", `the import of ${archive} was given up`);
  const code = codeOf(thrown);
  const ours = thrown instanceof RuntimeError && code === "internal" ? "invalidArgument" : code;
  return new RuntimeError(ours, `import ${archive}: ${messageOf(thrown)}`, { cause: thrown });
}
