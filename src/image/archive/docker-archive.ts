/** A tar as `docker save` writes it: manifest.json, configs and uncompressed layers. Source: moby, image/tarexport. */
import * as z from "zod";
import { messageOf, RuntimeError } from "../../base/errors.js";
import { sha256Of } from "../content/image-config.js";
import { parseManifest } from "../content/manifest.js";
import {
  ociConfig,
  ociLayer,
  ociLayerGzip,
  ociManifest,
  ociLayerZstd,
  type Compression,
} from "../content/media-types.js";
import { formatReference, parseReference } from "../reference/reference.js";
import type { IncomingImage } from "../store/bring-in.js";
import { sniffCompression } from "./decompress.js";
import { readHead } from "./decompress-file.js";
import { readSmall } from "./oci-archive.js";
import { spooledFile, type Spool, type SpooledFile } from "./spool.js";

const manifestSchema = z.array(
  z.object({
    Config: z.string(),
    RepoTags: z.array(z.string()).nullish(),
    Layers: z.array(z.string()).max(512).nullish(),
  }),
);

const layerTypes: Readonly<Record<Compression, string>> = {
  none: ociLayer,
  gzip: ociLayerGzip,
  zstd: ociLayerZstd,
};

/** The archive has no manifests of the registry's kind: they are made here, over the contents as they are. */
export async function readDockerArchive(
  spool: Spool,
  manifestFile: SpooledFile,
  defaultRegistry: string,
): Promise<IncomingImage[]> {
  const listed = parseList((await readSmall(manifestFile, "manifest.json")).toString("utf8"));
  return await Promise.all(listed.map((image) => readImage(spool, image, defaultRegistry)));
}

async function readImage(
  spool: Spool,
  listed: z.infer<typeof manifestSchema>[number],
  defaultRegistry: string,
): Promise<IncomingImage> {
  const config = member(spool, listed.Config);
  const hex = /(?:^|\/)([0-9a-f]{64})(?:\.json)?$/.exec(listed.Config)?.[1];
  if (hex !== undefined && config.digest !== `sha256:${hex}`) {
    throw new RuntimeError("invalidArgument", `the config ${listed.Config} has the content of ${config.digest}`);
  }
  const layers = await Promise.all((listed.Layers ?? []).map((name) => describeLayer(member(spool, name))));
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: ociManifest,
      config: { mediaType: ociConfig, digest: config.digest, size: config.sizeBytes },
      layers,
    }),
  );
  const manifest = parseManifest(bytes, ociManifest);
  if (manifest.kind === "index") throw new RuntimeError("internal", "a manifest was read as an index");
  const names = (listed.RepoTags ?? []).map((tag) => formatReference(parseReference(tag, defaultRegistry)));
  return { bytes, mediaType: ociManifest, manifest, digest: sha256Of(bytes), names, servedDigest: undefined };
}

async function describeLayer(file: SpooledFile): Promise<{ mediaType: string; digest: string; size: number }> {
  const mediaType = layerTypes[sniffCompression(await readHead(file.path))];
  return { mediaType, digest: file.digest, size: file.sizeBytes };
}

function member(spool: Spool, name: string): SpooledFile {
  const file = spooledFile(spool, name);
  if (file !== undefined) return file;
  throw new RuntimeError(
    "invalidArgument",
    `the archive has no "${name.slice(0, 200)}", which its manifest.json names`,
  );
}

function parseList(text: string): z.infer<typeof manifestSchema> {
  try {
    return manifestSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new RuntimeError("invalidArgument", `manifest.json can't be read: ${messageOf(cause).slice(0, 200)}`, {
      cause,
    });
  }
}
