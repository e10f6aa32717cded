/** From a reference to an image in the store. */
import type { Dispatcher } from "undici";
import { codeOf, messageOf, RuntimeError } from "../../base/errors.js";
import type { Digest } from "../../base/ids.js";
import { hasBlob, readBlob, writeBlob } from "../content/blobs.js";
import { choosePlatform, hostPlatform, parseManifest, type Descriptor, type Manifest } from "../content/manifest.js";
import type { PullWatch, RegistryAuth } from "../image-store.js";
import { formatName, formatReference, type Reference } from "../reference/reference.js";
import { fetchBlob, fetchManifest, type FetchedManifest } from "../registry/client.js";
import { credentialsOf } from "../registry/credentials.js";
import { endpointOf } from "../registry/endpoint.js";
import { isStall, type HttpSettings } from "../registry/http.js";
import { RegistrySession } from "../registry/session.js";
import type { ProvideBlob } from "../unpack/layers.js";
import { bringIn, type StoreParts } from "./bring-in.js";
import type { SharedJobs } from "./shared-jobs.js";

export interface PullParts extends StoreParts {
  readonly http: HttpSettings & { readonly dispatcher: Dispatcher };
  readonly plainHttp: readonly string[];
  /** One download per blob, whichever images want it. */
  readonly downloads: SharedJobs<Digest, void>;
}

const bodyAttempts = 3;

/** Resolves to the image's id. What it throws names the reference, the host and the step. */
export async function pullImage(
  parts: PullParts,
  reference: Reference,
  auth: RegistryAuth | undefined,
  signal: AbortSignal,
): Promise<Digest> {
  try {
    const endpoint = endpointOf(reference.host, parts.plainHttp);
    const session = new RegistrySession(parts.http, endpoint, reference.repository, credentialsOf(auth));
    const served = await fetchManifest(session, reference, signal);
    const { fetched, manifest } = await resolvePlatform(parts, session, reference, served, signal);
    const byDigest = `${formatName(reference)}@${served.digest}`;
    const names = reference.kind === "tag" ? [formatReference(reference), byDigest] : [byDigest];
    const image = { ...fetched, manifest, names, servedDigest: served.digest };
    return await bringIn(parts, image, provideFrom(parts, session, reference.repository), signal);
  } catch (thrown) {
    throw pullFailure(reference, thrown, signal);
  }
}

/** Follows an index to the manifest for this machine. */
async function resolvePlatform(
  parts: PullParts,
  session: RegistrySession,
  reference: Reference,
  served: FetchedManifest,
  signal: AbortSignal,
): Promise<{ fetched: FetchedManifest; manifest: Manifest }> {
  const first = parseManifest(served.bytes, served.mediaType);
  if (first.kind === "manifest") return { fetched: served, manifest: first };
  const chosen = choosePlatform(first, hostPlatform());
  const fetched = await fetchChosen(parts, session, reference, chosen, signal);
  const manifest = parseManifest(fetched.bytes, fetched.mediaType);
  if (manifest.kind === "index") throw new RuntimeError("unimplemented", "the image is an index within an index");
  return { fetched, manifest };
}

async function fetchChosen(
  parts: PullParts,
  session: RegistrySession,
  reference: Reference,
  chosen: Descriptor,
  signal: AbortSignal,
): Promise<FetchedManifest> {
  const { digest, mediaType } = chosen;
  if (await hasBlob(parts.folder, digest, chosen.size)) {
    // A sweep may take it in this moment.
    const bytes = await readBlob(parts.folder, digest).catch(() => undefined);
    if (bytes !== undefined) return { bytes, mediaType, digest };
  }
  const { host, repository } = reference;
  return await fetchManifest(session, { kind: "digest", host, repository, digest }, signal);
}

function provideFrom(parts: PullParts, session: RegistrySession, repository: string): ProvideBlob {
  return async (blob, signal) => {
    if (await hasBlob(parts.folder, blob.digest, blob.size)) return;
    const begun = { own: false };
    const download = async (jobSignal: AbortSignal): Promise<void> => {
      begun.own = true;
      if (await hasBlob(parts.folder, blob.digest, blob.size)) return; // came since
      await downloadBlob(parts, session, repository, blob, jobSignal);
    };
    try {
      await parts.downloads.run(blob.digest, signal, download);
    } catch (thrown) {
      // Another pull's registry or credentials have failed, not ours.
      if (begun.own || signal.aborted) throw thrown;
      await parts.downloads.run(blob.digest, signal, download);
    }
  };
}

/** A body that breaks off is asked for again; one that stalls, or is not what was promised, is not. */
async function downloadBlob(
  parts: PullParts,
  session: RegistrySession,
  repository: string,
  blob: Descriptor,
  signal: AbortSignal,
): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const body = await fetchBlob(session, repository, blob, signal).catch((thrown: unknown) => {
      throw downloadFailure(blob, thrown);
    });
    try {
      await writeBlob(parts.folder, parts.ingest, blob, watched(body, blob, parts.watch));
      return;
    } catch (thrown) {
      const broken = codeOf(thrown) === "unavailable" && !isStall(thrown);
      if (!broken || attempt === bodyAttempts) throw downloadFailure(blob, thrown);
    }
  }
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

const unreachablePrefix = "RegistryUnavailable: ";

function downloadFailure(blob: Descriptor, thrown: unknown): RuntimeError {
  return withContext(`download ${blob.digest}`, thrown);
}

function pullFailure(reference: Reference, thrown: unknown, signal: AbortSignal): RuntimeError {
  if (signal.aborted) return new RuntimeError("canceled", `pull of ${formatReference(reference)} was given up`);
  if (codeOf(thrown) === "notFound" && messageOf(thrown).startsWith("image ")) return asRuntimeError(thrown);
  return withContext(`pull ${formatReference(reference)}`, thrown);
}

/** kubelet looks for its word at the very beginning (registry/http.ts). */
function withContext(context: string, thrown: unknown): RuntimeError {
  const message = messageOf(thrown);
  const text = message.startsWith(unreachablePrefix)
    ? `${unreachablePrefix}${context}: ${message.slice(unreachablePrefix.length)}`
    : `${context}: ${message}`;
  return new RuntimeError(codeOf(thrown), text, { cause: thrown });
}

function asRuntimeError(thrown: unknown): RuntimeError {
  return thrown instanceof RuntimeError ? thrown : new RuntimeError("internal", messageOf(thrown), { cause: thrown });
}
