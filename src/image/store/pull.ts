/** From a reference to an image in the store. */
import { codeOf, messageOf, RuntimeError } from "../../base/errors.js";
import type { Digest } from "../../base/ids.js";
import { sentBlob, type SentBlob } from "../content/arrivals.js";
import { hasBlob, readBlob, writeBlob } from "../content/blobs.js";
import { choosePlatform, hostPlatform, parseManifest, type Descriptor, type Manifest } from "../content/manifest.js";
import { step } from "../../base/stage.js";
import type { SharedWork } from "../../base/shared-work.js";
import type { PullWatch, RegistryAuth } from "../image-store.js";
import { formatName, formatReference, type Reference } from "../reference/reference.js";
import type { FetchedManifest } from "../registry/manifest-question.js";
import type { RegistryClient } from "../registry/registry-client.js";
import type { Repository } from "../registry/repository.js";
import type { ProvideBlob } from "../unpack/layers.js";
import { bringIn, type StoreParts } from "./bring-in.js";

export interface PullParts extends StoreParts {
  readonly registries: RegistryClient;
  /** One download per blob and registry, whichever images want it. */
  readonly downloads: SharedWork<SentBlob, void>;
}

/** Resolves to the image's id. What it throws names the reference, the host and the step. */
export async function pullImage(
  parts: PullParts,
  reference: Reference,
  auth: RegistryAuth | undefined,
  signal: AbortSignal,
): Promise<Digest> {
  try {
    const repository = await parts.registries.open(reference, auth);
    const { served, fetched, manifest } = await step("ask for the manifest", signal, async (limited) => {
      const first = await repository.manifest(reference, limited);
      return { served: first, ...(await resolvePlatform(parts, repository, reference, first, limited)) };
    });
    const byDigest = `${formatName(reference)}@${served.digest}`;
    const names = reference.kind === "tag" ? [formatReference(reference), byDigest] : [byDigest];
    const image = { ...fetched, manifest, names, servedDigest: served.digest };
    return await bringIn(parts, image, provideFrom(parts, repository, reference.host), signal);
  } catch (thrown) {
    throw pullFailure(reference, thrown, signal);
  }
}

/** Follows an index to the manifest for this machine. */
async function resolvePlatform(
  parts: PullParts,
  repository: Repository,
  reference: Reference,
  served: FetchedManifest,
  signal: AbortSignal,
): Promise<{ fetched: FetchedManifest; manifest: Manifest }> {
  const first = parseManifest(served.bytes, served.mediaType);
  if (first.kind === "manifest") return { fetched: served, manifest: first };
  const chosen = choosePlatform(first, hostPlatform());
  const fetched = await fetchChosen(parts, repository, reference, chosen, signal);
  const manifest = parseManifest(fetched.bytes, fetched.mediaType);
  if (manifest.kind === "index") throw new RuntimeError("unimplemented", "the image is an index within an index");
  return { fetched, manifest };
}

async function fetchChosen(
  parts: PullParts,
  repository: Repository,
  reference: Reference,
  chosen: Descriptor,
  signal: AbortSignal,
): Promise<FetchedManifest> {
  const { digest, mediaType } = chosen;
  if (await hasBlob(parts.directory, digest, chosen.size)) {
    // A sweep may take it in this moment.
    const bytes = await readBlob(parts.directory, digest).catch(() => undefined);
    if (bytes !== undefined) return { bytes, mediaType, digest };
  }
  return await repository.manifest(
    { kind: "digest", host: reference.host, repository: reference.repository, digest },
    signal,
  );
}

function provideFrom(parts: PullParts, repository: Repository, from: string): ProvideBlob {
  const provide = async (blob: Descriptor, signal: AbortSignal): Promise<void> => {
    const key = sentBlob(blob.digest, from);
    if (await hasBlob(parts.directory, blob.digest, blob.size)) return;
    const begun = { own: false };
    const download = async (jobSignal: AbortSignal): Promise<void> => {
      begun.own = true;
      if (await hasBlob(parts.directory, blob.digest, blob.size)) return; // came since
      await step("bring a blob", jobSignal, (limited) =>
        repository.blob(blob, limited, (bytes) =>
          writeBlob(parts.directory, parts.ingest, { ...blob, from }, watched(bytes, blob, parts.watch)),
        ),
      );
    };
    try {
      await parts.downloads.run(key, signal, download);
    } catch (thrown) {
      // Another pull's credentials have failed, not ours.
      if (begun.own || signal.aborted) throw thrown;
      await parts.downloads.run(key, signal, download);
    }
  };
  return Object.assign(provide, { from });
}

async function* watched(
  body: AsyncIterable<Uint8Array>,
  blob: Descriptor,
  watch: PullWatch | undefined,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    watch?.received(blob.digest, chunk.byteLength);
    yield chunk;
  }
}

function pullFailure(reference: Reference, thrown: unknown, signal: AbortSignal): RuntimeError {
  if (signal.aborted) return givenUp(reference, thrown, signal);
  if (codeOf(thrown) === "notFound" && messageOf(thrown).startsWith("image ")) return asRuntimeError(thrown);
  return new RuntimeError(codeOf(thrown), `pull ${formatReference(reference)}: ${messageOf(thrown)}`, {
    cause: thrown,
  });
}

/** By its callers, or for a disk that does not answer; with what it was that did not end, where it was given up. */
function givenUp(reference: Reference, thrown: unknown, { reason }: AbortSignal): RuntimeError {
  const code = codeOf(reason);
  const step = thrown instanceof RuntimeError && thrown.stage !== undefined ? `: ${thrown.message}` : "";
  const message = `pull of ${formatReference(reference)} was given up${step}`;
  return new RuntimeError(code === "internal" ? "canceled" : code, message, { cause: thrown });
}

function asRuntimeError(thrown: unknown): RuntimeError {
  return thrown instanceof RuntimeError ? thrown : new RuntimeError("internal", messageOf(thrown), { cause: thrown });
}
