/** Images for the tests, built from one static busybox: archives as `docker save` writes them. */
import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { pack } from "tar-stream";
import { busyboxProgram } from "./busybox.js";

export const busyboxImage = "localhost/test/busybox:1";

export interface TarEntry {
  readonly name: string;
  readonly type?: "file" | "directory" | "symlink" | "link";
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly linkname?: string;
  readonly content?: string | Buffer;
}

/** Members of an image config (OCI image spec, config.json, `config`), in its own spelling. */
export interface ImageConfigPart {
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Env?: readonly string[];
  readonly WorkingDir?: string;
  readonly User?: string;
  readonly StopSignal?: string;
}

export interface TestImage {
  readonly tags: readonly string[];
  readonly layers: readonly Buffer[];
  readonly config: ImageConfigPart;
}

export async function layer(entries: readonly TarEntry[]): Promise<Buffer> {
  const tar = pack();
  for (const { content, ...header } of entries) {
    const mode = header.mode ?? (header.type === "directory" ? 0o755 : 0o644);
    tar.entry({ ...header, mode, mtime: new Date(0) }, content ?? "");
  }
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) if (Buffer.isBuffer(chunk)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const applets = (
  "sh ls cat echo top sleep touch mkdir rm mv cp ln id env printenv pwd hostname uname grep head tail dd wc ps pgrep kill " +
  "mount umount test true false stat chmod chown ip ifconfig netstat df date seq tr cut sort find yes od readlink mknod " +
  "nc httpd wget ping sync mkfifo tee xargs expr setsid nohup free sysctl awk sed"
).split(" ");

/** The root file system of the test images: busybox with its applets, a few accounts. */
export async function busyboxLayer(): Promise<Buffer> {
  const folders = ["bin", "dev", "etc", "home", "home/user", "proc", "root", "sys", "usr", "var", "mnt"];
  return await layer([
    ...folders.map((name): TarEntry => ({ name, type: "directory" })),
    { name: "tmp", type: "directory", mode: 0o1777 },
    { name: "bin/busybox", mode: 0o755, content: await readFile(await busyboxProgram()) },
    ...applets.map((name): TarEntry => ({ name: `bin/${name}`, type: "symlink", linkname: "busybox" })),
    {
      name: "etc/passwd",
      content:
        "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
    },
    { name: "etc/group", content: "root:x:0:\nuser:x:1000:\nextra:x:50000:user\nnobody:x:65534:\n" },
  ]);
}

const defaults: ImageConfigPart = {
  Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
  Cmd: ["sh"],
};

export async function busyboxTestImage(tags: readonly string[], part: ImageConfigPart = {}): Promise<TestImage> {
  return { tags, layers: [await busyboxLayer()], config: { ...defaults, ...part } };
}

/** The image's config file; its digest is the image's id. */
export function configFile(image: TestImage): Buffer {
  return Buffer.from(
    JSON.stringify({
      architecture: "amd64",
      os: "linux",
      config: image.config,
      rootfs: { type: "layers", diff_ids: image.layers.map((bytes) => `sha256:${sha256(bytes)}`) },
    }),
  );
}

/** Writes one docker-archive with all the images. */
export async function writeArchive(path: string, images: readonly TestImage[]): Promise<void> {
  const tar = pack();
  const written = pipeline(tar, createWriteStream(path));
  const seen = new Set<string>();
  const manifest = images.map((image) => {
    const config = configFile(image);
    const files = [[`${sha256(config)}.json`, config] as const];
    const layers = image.layers.map((bytes) => [`${sha256(bytes)}/layer.tar`, bytes] as const);
    for (const [name, bytes] of [...files, ...layers]) {
      if (!seen.has(name)) tar.entry({ name }, bytes);
      seen.add(name);
    }
    return { Config: files[0]?.[0], RepoTags: image.tags, Layers: layers.map(([name]) => name) };
  });
  tar.entry({ name: "manifest.json" }, JSON.stringify(manifest));
  tar.finalize();
  await written;
}

export function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
