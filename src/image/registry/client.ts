/** What a pull asks of a registry. Source: OCI distribution spec 1.1, "Pull"; Docker registry HTTP API V2. */
import { RuntimeError } from "../../base/errors.js";
import type { Digest } from "../../base/ids.js";
import { sha256Of } from "../content/image-config.js";
import { manifestTypeOf, maxManifestBytes, type Descriptor } from "../content/manifest.js";
import { manifestTypes } from "../content/media-types.js";
import { formatReference, type Reference } from "../reference/reference.js";
import type { HttpAnswer } from "./http.js";
import { readWhole } from "./http.js";
import type { RegistrySession } from "./session.js";

export interface FetchedManifest {
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly digest: Digest;
}

/** By tag or digest; its digest is that of the bytes. */
export async function fetchManifest(
  session: RegistrySession,
  reference: Reference,
  signal: AbortSignal,
): Promise<FetchedManifest> {
  const wanted = reference.kind === "tag" ? reference.tag : reference.digest;
  const path = `/v2/${reference.repository}/manifests/${wanted}`;
  const answer = await session.get(path, manifestTypes, signal);
  if (answer.status === 404) {
    await answer.discard();
    throw new RuntimeError("notFound", `image "${formatReference(reference)}" not found in registry ${session.host}`, {
      hint: "check the name and tag",
    });
  }
  await expectOk(answer, session.host);
  const type = mediaTypeOf(answer);
  if (type === "text/html") {
    await answer.discard();
    throw new RuntimeError("unavailable", `${session.host} sends a web page, not an image manifest`, {
      hint: "check that the host is a registry, and that no proxy or login page is in between",
    });
  }
  const bytes = await readWhole(answer, maxManifestBytes, "the image manifest");
  return { bytes, mediaType: manifestTypeOf(bytes, type), digest: checkDigest(bytes, reference, answer) };
}

/** A blob's bytes as they come; whoever stores them checks size and digest. */
export async function fetchBlob(
  session: RegistrySession,
  repository: string,
  blob: Descriptor,
  signal: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  const answer = await session.get(`/v2/${repository}/blobs/${blob.digest}`, ["*/*"], signal);
  if (answer.status === 404) {
    await answer.discard();
    throw new RuntimeError("unavailable", `${session.host} has no blob ${blob.digest}, which its manifest names`, {
      hint: "the image is incomplete in its registry; push it again",
    });
  }
  await expectOk(answer, answer.url.host);
  const length = answer.header("content-length");
  if (length !== "" && length !== String(blob.size)) {
    await answer.discard();
    throw new RuntimeError(
      "internal",
      `${answer.url.host} announces ${length} bytes for ${blob.digest}, not ${blob.size}`,
    );
  }
  return answer.body;
}

function mediaTypeOf(answer: HttpAnswer): string {
  return (answer.header("content-type").split(";")[0] ?? "").trim().toLowerCase();
}

function checkDigest(bytes: Buffer, reference: Reference, answer: HttpAnswer): Digest {
  const actual = sha256Of(bytes);
  const announced = answer.header("docker-content-digest");
  const expected = reference.kind === "digest" ? reference.digest : announced;
  if (expected === "" || expected === actual || !expected.startsWith("sha256:")) return actual;
  throw new RuntimeError("internal", `a manifest of digest ${actual} came for ${expected}`, {
    hint: "the registry, or something between, changed it",
  });
}

async function expectOk(answer: HttpAnswer, host: string): Promise<void> {
  if (answer.status === 200) return;
  await answer.discard();
  if (answer.status === 401 || answer.status === 403) {
    throw new RuntimeError("failedPrecondition", `${host} refuses access (${answer.status})`, {
      hint: "check the credentials; many registries answer so for names that they don't have",
    });
  }
  const passing = answer.status === 429 || answer.status >= 500;
  const hint = passing ? "try again later" : "check that the host is a registry";
  throw new RuntimeError("unavailable", `${host} answers ${answer.status}`, { hint });
}
