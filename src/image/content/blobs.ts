/** Blobs by digest: a file is there whole, or not at all. */
import { createHash } from "node:crypto";
import { open, readFile, rename, rm, stat } from "node:fs/promises";
import { takeBack } from "../../base/cleanup.js";
import { isNotFound, RuntimeError } from "../../base/errors.js";
import { digest, type Digest } from "../../base/ids.js";
import { syncDirectory } from "../../base/record-file.js";
import { neverAborted } from "../../base/signals.js";
import { stage } from "../../base/stage.js";
import { sentBlob } from "./arrivals.js";
import { sha256Of } from "./image-config.js";
import type { Ingest } from "./ingest.js";
import { blobPath, type StoreDirectory } from "./store-directory.js";

export async function hasBlob(directory: StoreDirectory, blob: Digest, sizeBytes: number): Promise<boolean> {
  try {
    const found = await stat(blobPath(directory, blob));
    return found.size === sizeBytes;
  } catch (thrown) {
    if (isNotFound(thrown)) return false;
    throw thrown;
  }
}

/** A small blob, checked again: disks and people change files. */
export async function readBlob(directory: StoreDirectory, blob: Digest): Promise<Buffer> {
  return checked(blob, await readFile(blobPath(directory, blob)));
}

/**
 * Stores what streams in under the digest that it must have. Size and digest are checked before anything is named;
 * durable when it resolves. What the source throws comes through.
 */
export async function writeBlob(
  directory: StoreDirectory,
  ingest: Ingest,
  blob: { readonly digest: Digest; readonly size: number; readonly from?: string },
  source: AsyncIterable<Uint8Array>,
): Promise<void> {
  const temporary = ingest.freshPath("blob");
  let ended: ((whole: boolean) => void) | undefined;
  try {
    const actual = await spool(temporary, source, blob.size, () => {
      ended = ingest.arrivals.begin(sentBlob(blob.digest, blob.from ?? ""), temporary);
    });
    if (actual.sizeBytes !== blob.size) {
      throw new RuntimeError("internal", `${blob.digest} has ${actual.sizeBytes} bytes, and not ${blob.size}`);
    }
    if (actual.digest !== blob.digest) {
      throw new RuntimeError("internal", `content of digest ${actual.digest} came for ${blob.digest}`, {
        hint: "the registry, or something between, changed it; pull again, or push the image again",
      });
    }
    await adoptBlob(directory, blob.digest, temporary);
    ended?.(true);
  } catch (thrown) {
    ended?.(false);
    await takeBack(() => rm(temporary, { force: true }));
    throw thrown;
  }
}

export async function writeBlobBytes(directory: StoreDirectory, ingest: Ingest, bytes: Uint8Array): Promise<Digest> {
  const digest = sha256Of(bytes);
  if (!(await hasBlob(directory, digest, bytes.byteLength))) {
    await writeBlob(directory, ingest, { digest, size: bytes.byteLength }, oneChunk(bytes));
  }
  return digest;
}

/** Takes over a durable file of this file system whose digest is known. */
export async function adoptBlob(directory: StoreDirectory, blob: Digest, path: string): Promise<void> {
  await rename(path, blobPath(directory, blob));
  await syncDirectory(directory.blobs);
}

const syncLimitMs = 300_000;

interface Spooled {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/** Writes a stream to a new file and makes it durable; stops where it gets longer than allowed. */
async function spool(
  path: string,
  source: AsyncIterable<Uint8Array>,
  maxBytes: number,
  begun: () => void,
): Promise<Spooled> {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  await using file = await open(path, "wx", 0o644);
  begun();
  for await (const chunk of source) {
    sizeBytes += chunk.byteLength;
    if (sizeBytes > maxBytes) throw new RuntimeError("internal", `more than the ${maxBytes} bytes announced came`);
    hash.update(chunk);
    await file.writeFile(chunk);
  }
  // A mebibyte a second at least, behind all else that is on its way to the disk.
  await stage("make a blob durable", syncLimitMs + sizeBytes / 1024, neverAborted, () => file.sync());
  return { digest: digestOf(hash), sizeBytes };
}

function digestOf(hash: ReturnType<typeof createHash>): Digest {
  return digest(`sha256:${hash.digest("hex")}`);
}

function checked(blob: Digest, bytes: Buffer): Buffer {
  if (sha256Of(bytes) === blob) return bytes;
  throw new RuntimeError("internal", `the stored content of ${blob} has changed`, {
    hint: "remove the image and pull it again",
  });
}

async function* oneChunk(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes);
}
