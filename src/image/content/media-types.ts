/** Media types of the OCI image spec 1.1 and of Docker's image manifest version 2, schema 2. */

export const ociIndex = "application/vnd.oci.image.index.v1+json";
export const ociManifest = "application/vnd.oci.image.manifest.v1+json";
export const ociConfig = "application/vnd.oci.image.config.v1+json";
/** The config of an artifact that has none: the two bytes "{}". */
export const ociEmpty = "application/vnd.oci.empty.v1+json";
export const ociLayer = "application/vnd.oci.image.layer.v1.tar";
export const ociLayerGzip = "application/vnd.oci.image.layer.v1.tar+gzip";
export const ociLayerZstd = "application/vnd.oci.image.layer.v1.tar+zstd";
export const dockerList = "application/vnd.docker.distribution.manifest.list.v2+json";
export const dockerManifest = "application/vnd.docker.distribution.manifest.v2+json";

const dockerConfig = "application/vnd.docker.container.image.v1+json";

/** In the order of preference, as a client accepts them. */
export const manifestTypes = [ociIndex, dockerList, ociManifest, dockerManifest] as const;

export function isIndexType(mediaType: string): boolean {
  return mediaType === ociIndex || mediaType === dockerList;
}

export function isManifestType(mediaType: string): boolean {
  return mediaType === ociManifest || mediaType === dockerManifest;
}

export function isConfigType(mediaType: string): boolean {
  return mediaType === ociConfig || mediaType === dockerConfig;
}

export type Compression = "none" | "gzip" | "zstd";

const compressionOf: Readonly<Record<string, Compression>> = {
  [ociLayer]: "none",
  [ociLayerGzip]: "gzip",
  [ociLayerZstd]: "zstd",
  "application/vnd.docker.image.rootfs.diff.tar": "none",
  "application/vnd.docker.image.rootfs.diff.tar.gzip": "gzip",
  "application/vnd.docker.image.rootfs.diff.tar.zstd": "zstd",
};

/** Undefined for what is not a layer's type. */
export function layerCompression(mediaType: string): Compression | undefined {
  return Object.hasOwn(compressionOf, mediaType) ? compressionOf[mediaType] : undefined;
}

/** Layers that lie elsewhere under a licence (Windows bases); OCI calls them non-distributable. */
export function isForeignLayer(mediaType: string): boolean {
  return mediaType.includes(".nondistributable.") || mediaType.includes(".foreign.");
}
