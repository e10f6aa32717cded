/** The two images of `bench pull`: the same bytes each time and on every machine with the same Node. */
import { createCipheriv } from "node:crypto";
import { open } from "node:fs/promises";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { ImageSource } from "../../test/support/registry.js";
import { buildTar, sha256, type BuiltLayer, type TarEntry } from "../../test/support/tar-builder.js";

const layerCount = 9;
/** Of each layer, unpacked; nine of them are some 200 MiB packed. */
const layerBytes = 35 << 20;
/** What can't be compressed, of each file: with it the whole packs to about two thirds, as images do. */
const randomShare = 0.4;
const compress = promisify(gzip);

/** Some 27,000 files of 1 to 23 KiB in 900 directories. */
export async function smallFiles(): Promise<ImageSource> {
  return await imageOf("small", (random) => 1024 + (random % 22_528));
}

/** Two files in each layer. */
export async function largeFiles(): Promise<ImageSource> {
  return await imageOf("large", () => layerBytes / 2);
}

async function imageOf(name: string, sizeOf: (random: number) => number): Promise<ImageSource> {
  const program = await open(process.execPath);
  try {
    const { size } = await program.stat();
    const text = Buffer.alloc(Math.min(size, 64 << 20));
    await program.read(text, 0, text.length, 0);
    const source = new Source(`${name} files`, text);
    const layers: BuiltLayer[] = [];
    for (let at = 0; at < layerCount; at += 1) layers.push(await layer(entries(at, source, sizeOf)));
    return { layers, config: { Cmd: ["/none"] } };
  } finally {
    await program.close();
  }
}

function entries(layerNumber: number, source: Source, sizeOf: (random: number) => number): TarEntry[] {
  const made: TarEntry[] = [{ name: `l${layerNumber}/`, type: "directory" }];
  let left = layerBytes;
  for (let file = 0; left > 0; file += 1) {
    const directory = `l${layerNumber}/d${Math.floor(file / 33)}`;
    if (file % 33 === 0) made.push({ name: `${directory}/`, type: "directory" });
    const content = source.file(Math.min(left, sizeOf(source.number())));
    made.push({ name: `${directory}/f${file}`, content });
    left -= content.length;
  }
  return made;
}

async function layer(all: readonly TarEntry[]): Promise<BuiltLayer> {
  const tar = buildTar(all);
  const bytes = await compress(tar, { level: 6 });
  return {
    bytes,
    diffId: sha256(tar),
    digest: sha256(bytes),
    mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
  };
}

/** Content: a piece of a program, then bytes without any order, both chosen by a seed. */
class Source {
  readonly #text: Buffer;
  readonly #cipher;

  constructor(seed: string, text: Buffer) {
    this.#text = text;
    this.#cipher = createCipheriv("aes-128-ctr", Buffer.alloc(16, seed), Buffer.alloc(16));
  }

  number(): number {
    return this.#bytes(4).readUInt32LE();
  }

  file(size: number): Buffer {
    const random = Math.round(size * randomShare);
    const start = this.number() % Math.max(1, this.#text.length - size);
    return Buffer.concat([this.#text.subarray(start, start + size - random), this.#bytes(random)]);
  }

  #bytes(count: number): Buffer {
    return this.#cipher.update(Buffer.alloc(count));
  }
}
