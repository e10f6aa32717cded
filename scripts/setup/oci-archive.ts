/**
 * An image as a tar of an OCI image layout, the same bytes each time: no clock, no user, no order of the file system in
 * it. Source: OCI image spec 1.1, image-layout.md, manifest.md, config.md.
 */
import { type ImageFile, type ImageLayer, sha256, tarOf } from "./image-layer.js";

/** What a container has where nobody says otherwise; members as config.md names them. */
export interface ImageConfig {
  readonly Cmd: readonly string[];
  readonly Env: readonly string[];
  readonly User?: string;
  readonly WorkingDir?: string;
  readonly Labels?: Readonly<Record<string, string>>;
}

export interface Image {
  readonly name: string;
  /** The lowest first. */
  readonly layers: readonly ImageLayer[];
  readonly config: ImageConfig;
  /** When what is in it was made; the epoch where it is left out. */
  readonly created?: Date;
}

export const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export interface ImageArchive {
  readonly tar: Buffer;
  /** Of the manifest: what the image is known by. */
  readonly digest: string;
}

export async function ociArchive(image: Image): Promise<ImageArchive> {
  const created = (image.created ?? new Date(0)).toISOString();
  const config = json({
    architecture: "amd64",
    os: "linux",
    config: image.config,
    rootfs: { type: "layers", diff_ids: image.layers.map((layer) => layer.diffId) },
    history: image.layers.map((layer) => ({ created, created_by: layer.createdBy })),
  });
  const manifest = json({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: descriptor("application/vnd.oci.image.config.v1+json", config),
    layers: image.layers.map(({ bytes }) => descriptor("application/vnd.oci.image.layer.v1.tar+gzip", bytes)),
  });
  const named = {
    ...descriptor("application/vnd.oci.image.manifest.v1+json", manifest),
    annotations: { "org.opencontainers.image.ref.name": image.name, "io.containerd.image.name": image.name },
  };
  const index = json({ schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [named] });
  const blobs = [config, manifest, ...image.layers.map((layer) => layer.bytes)].map((content): ImageFile => ({
    path: `blobs/${sha256(content).replace(":", "/")}`,
    kind: "file",
    mode: 0o644,
    content,
  }));
  const tar = await tarOf([
    { path: "oci-layout", kind: "file", mode: 0o644, content: json({ imageLayoutVersion: "1.0.0" }) },
    { path: "index.json", kind: "file", mode: 0o644, content: index },
    { path: "blobs", kind: "directory", mode: 0o755 },
    { path: "blobs/sha256", kind: "directory", mode: 0o755 },
    ...blobs,
  ]);
  return { tar, digest: sha256(manifest) };
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function descriptor(mediaType: string, content: Buffer): { mediaType: string; digest: string; size: number } {
  return { mediaType, digest: sha256(content), size: content.length };
}
