/**
 * `index.json` of the store's OCI image layout: the one truth about which images there are and what they are called.
 * Each entry is a manifest of this machine's platform under one name. A manifest of Docker's type stands behind an index
 * of our own making with this one entry, for an OCI layout's readers refuse Docker's types in `index.json`.
 */
import * as z from "zod";
import { RuntimeError, messageOf } from "../../base/errors.js";
import { digest, type Digest } from "../../base/ids.js";
import { writeFileAtomic } from "../../base/record-file.js";
import { ociIndex } from "./media-types.js";

export interface IndexEntry {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  /** In full: "docker.io/library/busybox:latest", "docker.io/library/busybox@sha256:…"; undefined: it has none. */
  readonly name: string | undefined;
  /** What containerd's writers call it, in archives; undefined in our own index. */
  readonly containerdName?: string | undefined;
  /** Digest under which the registry served the image: of the index where there was one. */
  readonly servedDigest: Digest | undefined;
}

/** OCI image spec, "annotations.md"; skopeo's `oci:DIRECTORY:NAME` looks for it. */
const refName = "org.opencontainers.image.ref.name";
/** What containerd calls an image in an archive. */
const containerdName = "io.containerd.image.name";
const served = "io.a3s.box.served-digest";

const sha256Pattern = /^sha256:[0-9a-f]{64}$/;

const indexSchema = z.object({
  manifests: z.array(
    z.object({
      mediaType: z.string(),
      digest: z.string().regex(sha256Pattern),
      size: z.int().nonnegative(),
      annotations: z.record(z.string(), z.string()).nullish(),
    }),
  ),
});

export function parseIndexFile(text: string): IndexEntry[] {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw unreadable(messageOf(cause), cause);
  }
  const checked = indexSchema.safeParse(json);
  if (!checked.success) throw unreadable(checked.error.issues[0]?.message ?? "unknown form", checked.error);
  return checked.data.manifests.map((entry) => {
    const servedDigest = entry.annotations?.[served];
    return {
      mediaType: entry.mediaType,
      digest: digest(entry.digest),
      size: entry.size,
      name: entry.annotations?.[refName],
      containerdName: entry.annotations?.[containerdName],
      servedDigest: servedDigest !== undefined && sha256Pattern.test(servedDigest) ? digest(servedDigest) : undefined,
    };
  });
}

export function encodeIndexFile(entries: readonly IndexEntry[]): string {
  const manifests = entries.map((entry) => ({
    mediaType: entry.mediaType,
    digest: entry.digest,
    size: entry.size,
    annotations: {
      ...(entry.name === undefined ? {} : { [refName]: entry.name, [containerdName]: entry.name }),
      ...(entry.servedDigest === undefined ? {} : { [served]: entry.servedDigest }),
    },
  }));
  return `${JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, manifests }, null, 1)}\n`;
}

/** Under the store's lock. */
export async function writeIndexFile(path: string, entries: readonly IndexEntry[]): Promise<void> {
  await writeFileAtomic(path, encodeIndexFile(entries), 0o644);
}

function unreadable(why: string, cause: unknown): RuntimeError {
  return new RuntimeError("internal", `index.json of the image store can't be read: ${why}`, {
    hint: "restore it, or move the images directory away: images are pulled again",
    cause,
  });
}
