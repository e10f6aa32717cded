/** What a layer takes on the disk, against what its blob may become: files, directories and names, and not bytes alone. */
import { expect } from "chai";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { loadNative } from "../../src/native/addon.js";
import { projectDirectory } from "../support/project.js";
import { buildTar, type TarEntry } from "../support/tar-builder.js";
import { diffIdOf, UnpackBed } from "../support/unpacker.js";

const mib = 1024 * 1024;
const { native } = loadNative(join(projectDirectory, "build", "assets"));

function numbered(count: number, entry: (at: number) => TarEntry): TarEntry[] {
  return Array.from({ length: count }, (_, at) => entry(at));
}

describe("a layer's place on the disk", function () {
  this.timeout(120_000);
  let bed: UnpackBed;
  before(async () => {
    bed = await UnpackBed.make({ within: "/dev/shm" }); // many files: they count the same anywhere
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
  });

  async function expectRefused(entries: readonly TarEntry[]): Promise<void> {
    const tar = buildTar(entries);
    const blob = gzipSync(tar);
    expect(blob.length).to.be.lessThan(mib);
    const { code, fields, directory } = await bed.unpack(blob, "gzip", diffIdOf(tar));
    expect(code).to.equal(1);
    expect(fields[1]).to.match(
      /^entry ".*": with it the layer unpacks to more than .* as the disk does: files, directories and names/,
    );
    const { bytes } = await native.treeUsage(directory);
    expect(Number(bytes)).to.be.lessThan(256 * mib);
    await bed.remove(directory);
  }

  it("has a bound for tiny files: 46,000 of one byte in a small blob are refused before they take 256 MiB", () =>
    expectRefused(numbered(46_000, (at) => ({ name: `f${at}`, content: "x" }))));

  it("has a bound for directories that a name implies", () =>
    expectRefused(numbered(60, (at) => ({ name: "l", pax: { path: `${at}/${"a/".repeat(1000)}f` } }))));

  it("has a bound for a sparse file of scattered bytes", () => {
    const map = Array.from({ length: 70_000 }, (_, at) => `${at * 8192},1`).join(",");
    const pax = { "GNU.sparse.map": map, "GNU.sparse.size": String(2 ** 40) };
    return expectRefused([{ name: "s", content: "x".repeat(70_000), pax }]);
  });

  it("is enough for a tree of 20,000 small files, as a package manager makes them", async () => {
    const tar = buildTar(
      numbered(20_000, (at) => ({
        name: `node_modules/p${Math.floor(at / 20)}/lib/${at}.js`,
        content: randomBytes(16).toString("hex"),
      })),
    );
    const { code, fields, directory } = await bed.unpack(gzipSync(tar), "gzip", diffIdOf(tar));
    expect({ code, fields }).to.deep.equal({ code: 0, fields: [] });
    await bed.remove(directory);
  });
});
