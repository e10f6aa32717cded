/**
 * An image of one layer as a tar of an OCI image layout, the same bytes each time: no clock, no user, no order of the
 * file system in it. Source: OCI image spec 1.1, image-layout.md, manifest.md, config.md.
 */
import { createHash } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { type Header, pack } from "tar-stream";

export type ImageFile =
  | { readonly path: string; readonly kind: "folder"; readonly mode: number }
  | { readonly path: string; readonly kind: "file"; readonly mode: number; readonly content: Buffer }
  | { readonly path: string; readonly kind: "symlink"; readonly to: string };

export interface ImageWish {
  readonly name: string;
  readonly files: readonly ImageFile[];
  readonly command: readonly string[];
}

const epoch = new Date(0);

export async function ociArchive(wish: ImageWish): Promise<Buffer> {
  const layer = await tarOf(wish.files);
  const compressed = gzipSync(layer, { level: 9 });
  const config = json({
    architecture: "amd64",
    os: "linux",
    config: { Cmd: wish.command, Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"] },
    rootfs: { type: "layers", diff_ids: [digest(layer)] },
    history: [{ created: epoch.toISOString(), created_by: "a3s-box set-up" }],
  });
  const manifest = json({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: descriptor("application/vnd.oci.image.config.v1+json", config),
    layers: [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", compressed)],
  });
  const named = {
    ...descriptor("application/vnd.oci.image.manifest.v1+json", manifest),
    annotations: { "org.opencontainers.image.ref.name": wish.name, "io.containerd.image.name": wish.name },
  };
  const index = json({ schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [named] });
  const blobs = [config, manifest, compressed].map((content): ImageFile => ({
    path: `blobs/sha256/${hex(content)}`,
    kind: "file",
    mode: 0o644,
    content,
  }));
  return await tarOf([
    { path: "oci-layout", kind: "file", mode: 0o644, content: json({ imageLayoutVersion: "1.0.0" }) },
    { path: "index.json", kind: "file", mode: 0o644, content: index },
    { path: "blobs", kind: "folder", mode: 0o755 },
    { path: "blobs/sha256", kind: "folder", mode: 0o755 },
    ...blobs,
  ]);
}

async function tarOf(files: readonly ImageFile[]): Promise<Buffer> {
  const tar = pack();
  const whole = buffer(tar);
  for (const file of files) tar.entry(headerOf(file), file.kind === "file" ? file.content : "");
  tar.finalize();
  return await whole;
}

function headerOf(file: ImageFile): Partial<Header> & Pick<Header, "name"> {
  const common = { uid: 0, gid: 0, mtime: epoch };
  switch (file.kind) {
    case "folder":
      return { ...common, name: `${file.path}/`, type: "directory", mode: file.mode };
    case "file":
      return { ...common, name: file.path, type: "file", mode: file.mode, size: file.content.length };
    case "symlink":
      return { ...common, name: file.path, type: "symlink", mode: 0o777, linkname: file.to };
  }
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function hex(content: Buffer): string {
  return createHash("sha256").update(content).digest("hex");
}

function digest(content: Buffer): string {
  return `sha256:${hex(content)}`;
}

function descriptor(mediaType: string, content: Buffer): { mediaType: string; digest: string; size: number } {
  return { mediaType, digest: digest(content), size: content.length };
}
