/** Images for the tests, built from one static busybox: as a registry has them, or as an archive to import. */
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import { busyboxProgram } from "./busybox.js";
import { describeImage, type ImageSource } from "./registry.js";
import { buildLayer, buildTar, sha256, type BuiltLayer, type TarEntry } from "./tar-builder.js";

export const busyboxImage = "localhost/test/busybox:1";

export interface NamedImage extends ImageSource {
  readonly tag: string;
}

/** `ls` is a file of its own name: a mask over it must not hide the rest. */
const hardLinked = new Set(["ls"]);

const passwd = [
  "root:x:0:0:root:/root:/bin/sh",
  "user:x:1000:1000::/home/user:/bin/sh",
  "nobody:x:65534:65534::/:/bin/false",
];
const group = ["root:x:0:", "user:x:1000:", "extra:x:50000:user", "nobody:x:65534:"];

/** The root file system of the test images: busybox with its applets, a few accounts. */
async function busyboxLayer(): Promise<BuiltLayer> {
  const directories = ["bin", "dev", "etc", "home", "home/user", "proc", "root", "sys", "usr", "var", "mnt"];
  const program = await busyboxProgram();
  const applets = (await promisify(execFile)(program, ["--list"])).stdout.split("\n").filter((name) => name !== "");
  const entries: TarEntry[] = [
    ...directories.map((name): TarEntry => ({ name: `${name}/`, type: "directory" })),
    { name: "tmp/", type: "directory", mode: 0o1777 },
    { name: "bin/busybox", mode: 0o755, content: await readFile(program) },
    ...applets.filter((name) => name !== "busybox").map(appletEntry),
    { name: "etc/passwd", content: `${passwd.join("\n")}\n` },
    { name: "etc/group", content: `${group.join("\n")}\n` },
  ];
  return buildLayer(entries);
}

function appletEntry(name: string): TarEntry {
  return hardLinked.has(name)
    ? // containerd gives the file the mode of the last name
      { name: `bin/${name}`, type: "hardlink", link: "bin/busybox", mode: 0o755 }
    : { name: `bin/${name}`, type: "symlink", link: "busybox" };
}

const defaults = { Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], Cmd: ["sh"] };

/** Busybox, with members of the image config's "config" of its own and further layers on top. */
export async function busyboxSource(
  config: Readonly<Record<string, unknown>> = {},
  layers: readonly BuiltLayer[] = [],
): Promise<ImageSource> {
  return { layers: [await busyboxLayer(), ...layers], config: { ...defaults, ...config } };
}

export async function busybox(tag = busyboxImage): Promise<NamedImage> {
  return { tag, ...(await busyboxSource()) };
}

/** Writes an OCI image layout as a tar (OCI image spec, image-layout.md), as `skopeo copy … oci-archive:` does. */
export async function writeArchive(path: string, images: readonly NamedImage[]): Promise<void> {
  const blobs = new Map<string, Uint8Array>();
  const manifests = images.map(({ tag, ...source }) => {
    const { config, manifest, mediaType } = describeImage(source);
    for (const bytes of [config, manifest, ...source.layers.map((layer) => layer.bytes)])
      blobs.set(sha256(bytes), bytes);
    const annotations = { "org.opencontainers.image.ref.name": tag };
    return { mediaType, digest: sha256(manifest), size: manifest.length, annotations };
  });
  const index = { schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests };
  await writeFile(
    path,
    buildTar([
      { name: "oci-layout", content: JSON.stringify({ imageLayoutVersion: "1.0.0" }) },
      { name: "index.json", content: JSON.stringify(index) },
      ...[...blobs].map(([digest, content]) => ({ name: `blobs/${digest.replace(":", "/")}`, content })),
    ]),
  );
}
