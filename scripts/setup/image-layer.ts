/** A layer of an image as a gzipped tar, the same bytes each time: nothing of the file system that it is made on is in it. */
import { createHash } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { type Header, pack } from "tar-stream";

/** Root's and of the epoch where nothing is said. */
interface Owned {
  readonly path: string;
  readonly uid?: number;
  readonly gid?: number;
  /** Seconds since the epoch. */
  readonly mtime?: number;
}

export type ImageFile = Owned &
  (
    | { readonly kind: "directory"; readonly mode: number }
    | { readonly kind: "file"; readonly mode: number; readonly content: Buffer }
    | { readonly kind: "symlink"; readonly to: string }
    /** `to` is a path of the same layer, before it. */
    | { readonly kind: "hardlink"; readonly to: string; readonly mode: number }
  );

export interface ImageLayer {
  /** Of the tar, before it is compressed. */
  readonly diffId: string;
  readonly bytes: Buffer;
  readonly createdBy: string;
}

export async function imageLayer(
  files: readonly ImageFile[],
  createdBy: string,
  level: 1 | 6 | 9 = 6,
): Promise<ImageLayer> {
  const tar = await tarOf(files);
  return { diffId: sha256(tar), bytes: await promisify(gzip)(tar, { level }), createdBy };
}

export async function tarOf(files: readonly ImageFile[]): Promise<Buffer> {
  const tar = pack();
  const whole = buffer(tar);
  for (const file of files) tar.entry(headerOf(file), file.kind === "file" ? file.content : "");
  tar.finalize();
  return await whole;
}

export function sha256(content: Buffer): string {
  return `sha256:${createHash("sha256").update(content).digest("hex")}`;
}

function headerOf(file: ImageFile): Partial<Header> & Pick<Header, "name"> {
  const common = { uid: file.uid ?? 0, gid: file.gid ?? 0, mtime: new Date((file.mtime ?? 0) * 1000) };
  switch (file.kind) {
    case "directory":
      return { ...common, name: `${file.path}/`, type: "directory", mode: file.mode };
    case "file":
      return { ...common, name: file.path, type: "file", mode: file.mode, size: file.content.length };
    case "symlink":
      return { ...common, name: file.path, type: "symlink", mode: 0o777, linkname: file.to };
    case "hardlink":
      return { ...common, name: file.path, type: "link", mode: file.mode, linkname: file.to };
  }
}
