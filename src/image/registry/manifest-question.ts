/** Asking one host for a manifest. Source: OCI distribution spec 1.1, "Pulling manifests"; Docker registry HTTP API V2. */
import { RuntimeError } from "../../base/errors.js";
import { digest, type Digest } from "../../base/ids.js";
import { sha256Of } from "../content/image-config.js";
import { manifestTypeOf, maxManifestBytes } from "../content/manifest.js";
import { manifestTypes } from "../content/media-types.js";
import { formatReference, type Reference } from "../reference/reference.js";
import { answerFailure, isWebPage, mediaTypeOf, webPageFailure } from "./answers.js";
import type { HttpAnswer } from "./http.js";
import { readWhole } from "./http.js";
import type { Question, RegistrySession } from "./session.js";

export interface FetchedManifest {
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly digest: Digest;
}

/** By tag or digest; its digest is that of the bytes. */
export async function askManifest(
  session: RegistrySession,
  reference: Reference,
  once: boolean,
  signal: AbortSignal,
): Promise<FetchedManifest> {
  const answer = await session.ask(question(reference, once), signal);
  if (answer.status !== 200) throw await answerFailure(answer, () => notFound(session, reference));
  if (isWebPage(answer)) throw await webPageFailure(answer);
  const type = mediaTypeOf(answer);
  const bytes = await readWhole(answer, maxManifestBytes, "the image manifest");
  return { bytes, mediaType: manifestTypeOf(bytes, type), digest: checkDigest(bytes, reference, answer) };
}

/** What a tag stands for at a host that may say so but not serve it. */
export async function askDigest(
  session: RegistrySession,
  reference: Reference,
  once: boolean,
  signal: AbortSignal,
): Promise<Digest> {
  const answer = await session.ask({ ...question(reference, once), method: "HEAD" }, signal);
  if (answer.status !== 200) throw await answerFailure(answer, () => notFound(session, reference));
  const announced = answer.header("docker-content-digest");
  await answer.discard();
  if (/^sha256:[0-9a-f]{64}$/.test(announced)) return digest(announced);
  throw new RuntimeError("unavailable", `${session.host} doesn't say which digest the tag stands for`, {
    hint: "give it the capability pull in hosts.toml, or take resolve away",
  });
}

function question(reference: Reference, once: boolean): Question {
  const wanted = reference.kind === "tag" ? reference.tag : reference.digest;
  return { path: `manifests/${wanted}`, accept: manifestTypes, once };
}

function notFound(session: RegistrySession, reference: Reference): RuntimeError {
  return new RuntimeError("notFound", `image "${formatReference(reference)}" not found in registry ${session.host}`, {
    hint: "check the name and tag",
  });
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
