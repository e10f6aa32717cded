import { expect } from "chai";
import fc from "fast-check";
import { RuntimeError } from "../../../../src/base/errors.js";
import { readTar, type TarEntry } from "../../../../src/image/archive/tar-reader.js";
import { buildTar, type TarEntry as Built } from "../../../support/tar-builder.js";
import "../../../support/fuzz.js";

interface Read {
  readonly entry: TarEntry;
  readonly content: string;
}

async function* inPieces(bytes: Buffer, pieceBytes: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += pieceBytes)
    yield await Promise.resolve(bytes.subarray(at, at + pieceBytes));
}

async function read(bytes: Buffer, pieceBytes = 65_536): Promise<Read[]> {
  const all: Read[] = [];
  await readTar(inPieces(bytes, pieceBytes), (entry) => {
    const chunks: Buffer[] = [];
    return {
      write: (chunk) => {
        chunks.push(Buffer.from(chunk));
      },
      end: () => {
        all.push({ entry, content: Buffer.concat(chunks).toString("latin1") });
      },
    };
  });
  return all;
}

async function failure(entries: Built[] | Buffer): Promise<unknown> {
  const bytes = Buffer.isBuffer(entries) ? entries : buildTar(entries);
  return await read(bytes).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
}

describe("readTar", () => {
  it("gives every entry with its content, however the bytes are cut", async () => {
    const entries: Built[] = [
      { name: "dir/", type: "directory", mode: 0o1777 },
      { name: "dir/file", content: "x".repeat(1500), mode: 0o4755, uid: 70_000, gid: 3 },
      { name: "empty", content: "" },
      { name: "link", type: "symlink", link: "/etc/x" },
      { name: "hard", type: "hardlink", link: "dir/file" },
      { name: "dev", type: "character", major: 1, minor: 3 },
    ];
    const whole = await read(buildTar(entries));
    expect(whole.map(({ entry }) => [entry.name, entry.type])).to.deep.equal([
      ["dir/", "other"],
      ["dir/file", "file"],
      ["empty", "file"],
      ["link", "symlink"],
      ["hard", "hardlink"],
      ["dev", "other"],
    ]);
    expect(whole[1]?.content).to.equal("x".repeat(1500));
    expect(whole.map(({ entry }) => entry.link)).to.deep.equal(["", "", "", "/etc/x", "dir/file", ""]);
    for (const pieceBytes of [1, 7, 512, 513]) expect(await read(buildTar(entries), pieceBytes)).to.deep.equal(whole);
  });

  it("applies PAX records: long names, links and sizes", async () => {
    const long = `${"d/".repeat(200)}file`;
    const read1 = await read(
      buildTar([
        {
          name: "short",
          content: "abc",
          claimedSize: 0,
          pax: { path: long, size: "3", uid: "4294967294", mtime: "-1.5" },
        },
        { name: "l", type: "symlink", link: "x", pax: { linkpath: long } },
      ]),
    );
    expect(read1.map(({ entry, content }) => [entry.name, entry.link, content])).to.deep.equal([
      [long, "", "abc"],
      ["l", long, ""],
    ]);
  });

  it("applies GNU long names and forgets them after one entry", async () => {
    const long = "n".repeat(300);
    const names = await read(
      buildTar([
        { name: "././@LongLink", type: "gnuLongName", content: `${long}\0` },
        { name: "cut", content: "1" },
        { name: "next", content: "2" },
      ]),
    );
    expect(names.map(({ entry }) => entry.name)).to.deep.equal([long, "next"]);
  });

  it("takes an archive of nothing, and one without its end, as whole", async () => {
    expect(await read(Buffer.alloc(0))).to.deep.equal([]);
    expect(await read(buildTar([{ name: "a", content: "x" }]).subarray(0, 1024))).to.have.length(1);
  });

  it("refuses a wrong checksum, a cut entry, a cut header and a record without its length", async () => {
    const whole = buildTar([{ name: "a", content: "x".repeat(600) }]);
    expect(await failure([{ name: "a", badChecksum: true }])).to.match(/checksum/);
    expect(await failure(whole.subarray(0, 700))).to.match(/ends inside of "a"/);
    expect(await failure(whole.subarray(0, 100))).to.match(/ends inside of a header/);
    expect(await failure([{ name: "p", type: "pax", content: "99 path=a\n" }])).to.match(/PAX record/);
    expect(await failure([{ name: "a", content: "short", claimedSize: 5_000_000 }])).to.match(/ends inside of "a"/);
  });

  it("takes no content from what has none, and nothing that stands after the end", async () => {
    const hardlink = await read(
      buildTar([
        { name: "a", content: "x" },
        { name: "h", type: "hardlink", link: "a", claimedSize: 1024 },
        { name: "b", content: "second" },
      ]),
    );
    expect(hardlink.map(({ entry, content }) => [entry.name, content])).to.deep.equal([
      ["a", "x"],
      ["h", ""],
      ["b", "second"],
    ]);
    const after = Buffer.concat([
      buildTar([{ name: "a", content: "x" }]),
      buildTar([{ name: "a", content: "hidden" }]),
    ]);
    expect((await read(after)).map(({ content }) => content)).to.deep.equal(["x"]);
  });

  it("refuses numbers that are none, and records that are larger than a name can be", async () => {
    expect(await failure([{ name: "a", content: "x".repeat(20), pax: { size: "12abc" } }])).to.match(/not a number/);
    const path = "p".repeat(2 * 1024 * 1024);
    expect(await failure([{ name: "a", pax: { path } }])).to.match(/a record has 2\d+ bytes/);
  });

  it("refuses names that are not UTF-8 and sparse files, as not built", async () => {
    expect(await failure([{ name: "a", pax: { path: Buffer.from([0x66, 0xff]) } }])).to.have.property(
      "code",
      "unimplemented",
    );
    expect(await failure([{ name: "a", type: "gnuSparse" }])).to.have.property("code", "unimplemented");
    expect(await failure([{ name: "a", pax: { "GNU.sparse.major": "1" } }])).to.have.property("code", "unimplemented");
  });

  it("throws nothing but a RuntimeError, whatever the bytes", async () => {
    const valid = buildTar([{ name: "a", content: "x".repeat(700), pax: { path: "b", mtime: "1.5" } }]);
    const flips = fc.array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(fc.oneof(flips, fc.uint8Array({ maxLength: 2048 })), async (input) => {
        const bytes = input instanceof Uint8Array ? Buffer.from(input) : Buffer.from(valid);
        if (!(input instanceof Uint8Array)) for (const [at, value] of input) bytes[at] = value;
        const thrown = await failure(bytes);
        if (thrown !== undefined) expect(thrown).to.be.instanceOf(RuntimeError);
      }),
    );
  });
});
