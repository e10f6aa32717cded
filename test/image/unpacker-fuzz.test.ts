/**
 * Damaged and hostile layers against the real unpacker: the same ones each time, and for some seconds others each time,
 * against a build with AddressSanitizer and UBSan. A3S_FUZZ is their number, A3S_FUZZ_SEED the first seed, A3S_FUZZ_MS the
 * time for those with sanitizers, and A3S_UNPACKER another build of the unpacker.
 */
import { expect } from "chai";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { run } from "../support/image-store.js";
import { mutateTar, numbersFrom } from "../support/mutate.js";
import { buildTar, type TarEntry } from "../support/tar-builder.js";
import { diffIdOf, sanitizedUnpacker, UnpackBed } from "../support/unpacker.js";

const count = Number(process.env["A3S_FUZZ"] ?? "200");
const firstSeed = Number(process.env["A3S_FUZZ_SEED"] ?? "1");
const sanitizedMs = Number(process.env["A3S_FUZZ_MS"] ?? "10000");
/** What has found something once, so that it is tried each time. */
const keptSeeds: readonly number[] = [];

function corpus(outside: string): TarEntry[][] {
  const map = { "GNU.sparse.map": "0,3,600,7", "GNU.sparse.size": "5000", "GNU.sparse.name": "sparse" };
  const inContent = { "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9000" };
  const mapBlock = Buffer.alloc(512);
  mapBlock.write("2\n0\n4\n8000\n6\n");
  return [
    [
      { name: "d/", type: "directory", mode: 0o2775, gid: 7 },
      { name: "d/f", content: "x".repeat(1500), mode: 0o4755, uid: 70_000 },
      { name: "d/link", type: "symlink", link: "../e" },
      { name: "d/link/below", content: "y" },
      { name: "d/hard", type: "hardlink", link: "d/f" },
      { name: "dev", type: "character", major: 1, minor: 3 },
      { name: "pipe", type: "fifo" },
      { name: "d/.wh.gone" },
      { name: "d/.wh..wh..opq" },
      { name: "d", content: "in the place of the directory" },
    ],
    [
      { name: "././@LongLink", type: "gnuLongName", content: `${"n".repeat(150)}/${"m".repeat(90)}\0` },
      { name: "cut", content: "1" },
      { name: "././@LongLink", type: "gnuLongLink", content: `${"k".repeat(150)}\0` },
      { name: "l", type: "symlink", link: "cut" },
      { name: "g", type: "paxGlobal", content: "18 comment=nothing\n" },
    ],
    [
      { name: "a", content: "0123456789", pax: map },
      { name: "b", content: Buffer.concat([mapBlock, Buffer.from("0123456789")]), pax: inContent },
      { name: "c", content: "c", pax: { path: "long/".repeat(60) + "c", mtime: "1.5", "SCHILY.xattr.user.a": "b" } },
      { name: "s", type: "gnuSparse", content: "abc" },
    ],
    [
      { name: "out", type: "symlink", link: outside },
      { name: "out/kept", content: "overwritten" },
      { name: "out/.wh.kept" },
      { name: "up", type: "symlink", link: "../../../../../../../../../../../.." },
      { name: `up${outside}/kept`, content: "overwritten" },
      { name: "h", type: "hardlink", link: `up${outside}/kept` },
      { name: "out", type: "directory" },
      { name: "out/again", content: "z" },
    ],
  ];
}

describe("a damaged layer", () => {
  it(`never ends the unpacker but by its own word, and never reaches outside: ${count} of them`, async function () {
    this.timeout(60_000 + count * 2000);
    await using bed = await UnpackBed.make();
    const outside = join(bed.top, "outside");
    await mkdir(outside);
    await writeFile(join(outside, "kept"), "kept");
    const tars = corpus(outside).map(buildTar);
    const ends = new Map<number, number>();
    for (let seed = firstSeed; seed < firstSeed + count; seed += 1) {
      const code = await damage(bed, tars, seed);
      ends.set(code, (ends.get(code) ?? 0) + 1);
      if (seed % 50 === 0) await expectUntouched(bed.top, outside);
    }
    await expectUntouched(bed.top, outside);
    // Neither all refused nor all taken: else nothing was tried.
    expect(ends.get(0)).to.be.greaterThan(count / 20);
    expect(ends.get(1)).to.be.greaterThan(count / 20);
  });

  it(`is no more to a build with sanitizers, in ${sanitizedMs} ms`, async function () {
    this.timeout(60_000 + sanitizedMs * 5);
    await using bed = await UnpackBed.make({ program: sanitizedUnpacker });
    const outside = join(bed.top, "outside");
    await mkdir(outside);
    await writeFile(join(outside, "kept"), "kept");
    const tars = corpus(outside).map(buildTar);
    for (const seed of keptSeeds) await damage(bed, tars, seed);
    // Others each time: what fails says its seed.
    const first = 1 + Math.floor(Math.random() * 1e9);
    const endMs = performance.now() + sanitizedMs;
    let tried = 0;
    for (; performance.now() < endMs; tried += 1) await damage(bed, tars, first + tried);
    expect(tried).to.be.greaterThan(5);
    await expectUntouched(bed.top, outside);
  });

  /** Unpacks what the seed makes of one of the archives; the exit status. */
  async function damage(bed: UnpackBed, tars: readonly Buffer[], seed: number): Promise<number> {
    const random = numbersFrom(seed);
    const tar = mutateTar(tars[seed % tars.length] ?? Buffer.alloc(0), random);
    const packed = random() < 0.3;
    const bytes = packed ? gzipSync(tar) : tar;
    if (packed && random() < 0.5 && bytes.length > 0) {
      const at = Math.floor(random() * bytes.length);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(random() * 8));
    }
    const unpacked = await bed.unpack(bytes, packed ? "gzip" : "none", diffIdOf(tar));
    const { code, signal, log } = unpacked;
    expect({ seed, signal, log }).to.deep.equal({ seed, signal: null, log: "" });
    expect([0, 1], `seed ${seed}`).to.include(code);
    if (code === 1) expect(unpacked.fields, `seed ${seed}`).to.have.length(2);
    await bed.remove(unpacked.directory);
    return code ?? -1;
  }

  async function expectUntouched(top: string, outside: string): Promise<void> {
    expect(await run("find", [outside, "-type", "f", "-printf", "%P %s %n\\n"])).to.equal("kept 4 1\n");
    expect((await readdir(top)).filter((name) => name !== "outside" && !name.startsWith("layer-"))).to.deep.equal([]);
  }
});
