import { expect } from "chai";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { layerRoot, prepareStoreDirectory } from "../../src/image/content/store-directory.js";
import type { Image } from "../../src/image/image-store.js";
import { parsePax } from "../../src/image/archive/pax.js";
import { listTree, makeTestStore, run, type TestStore } from "../support/image-store.js";
import { describeImage } from "../support/registry.js";
import { buildLayer, buildTar, sha256, type BuiltLayer, type TarEntry } from "../support/tar-builder.js";

const signal = new AbortController().signal;

describe("unpacking a layer", () => {
  let test: TestStore;

  beforeEach(async () => {
    test = await makeTestStore();
  });
  afterEach(async () => {
    await test.close();
  });

  async function unpack(...layers: readonly BuiltLayer[]): Promise<Image> {
    return await importLayers(test, layers);
  }

  async function rootOf(image: Image, position = -1): Promise<string> {
    const chainId = image.chainIds.at(position);
    if (chainId === undefined) throw new Error("no such layer");
    return layerRoot(await prepareStoreDirectory(test.directory), chainId);
  }

  it("gives the tree that GNU tar gives: kinds, owners, modes, times, links", async () => {
    const entries: TarEntry[] = [
      { name: "./", type: "directory", mode: 0o711, uid: 5, gid: 6 },
      { name: "./bin/", type: "directory", mtime: 1_500_000_000 },
      { name: "./bin/su", content: "#!su", mode: 0o4755 },
      { name: "./bin/wall", content: "w", mode: 0o2755, gid: 5 },
      { name: "./bin/hard", type: "hardlink", link: "./bin/su" },
      { name: "./tmp/", type: "directory", mode: 0o1777 },
      { name: "./abs", type: "symlink", link: "/etc/passwd" },
      { name: "./big-owner", content: "b", uid: 4_000_000, gid: 4_000_001 },
      { name: "./null", type: "character", major: 1, minor: 3, mode: 0o666 },
      { name: "./disk", type: "block", major: 8, minor: 0, mode: 0o660, gid: 6 },
      { name: "./pipe", type: "fifo", mode: 0o600 },
      { name: "./twice", content: "first, and longer", mtime: 1_400_000_000 },
      { name: "./twice", content: "second" },
      { name: "./was-directory/", type: "directory" },
      { name: "./was-directory/in", content: "x" },
      { name: "./late/", type: "directory", mode: 0o700 },
      { name: "./late/file", content: "z" },
    ];
    const layer = buildLayer(entries);
    const image = await unpack(layer);
    const reference = join(test.directory, "..", "reference");
    const tar = join(test.directory, "..", "layer.tar");
    await writeFile(tar, buildTar(entries));
    await run("mkdir", [reference]);
    await run("tar", ["-C", reference, "--numeric-owner", "--same-owner", "-xpf", tar]);
    const root = await rootOf(image);
    expect(await listTree(root)).to.deep.equal(await listTree(reference));
    const facts = ["-c", "%a %u %g %Y %h %t:%T %s"];
    for (const name of ["", "/bin", "/bin/su", "/bin/hard", "/null", "/disk", "/twice", "/late", "/big-owner"]) {
      const [ours, theirs] = [`${root}${name}`, `${reference}${name}`];
      expect(await run("stat", [...facts, ours]), name).to.equal(await run("stat", [...facts, theirs]));
    }
  });

  it("keeps extended attributes, and no word for overlayfs that the layer brings itself", async () => {
    const capability = Buffer.from("0100000200040000000000000000000000000000", "hex");
    const image = await unpack(
      buildLayer([
        {
          name: "ping",
          mode: 0o755,
          content: "x",
          pax: { "SCHILY.xattr.security.capability": capability, "SCHILY.xattr.user.note": "n" },
        },
        { name: "evil/", type: "directory", pax: { "SCHILY.xattr.trusted.overlay.redirect": "/../../x" } },
      ]),
    );
    const root = await rootOf(image);
    const read = await attributes(join(root, "ping"));
    expect(read["security.capability"]).to.equal(capability.toString("hex"));
    expect(read["user.note"]).to.equal(Buffer.from("n").toString("hex"));
    expect(await attributes(join(root, "evil"))).to.deep.equal({});
  });

  it("turns whiteouts into overlayfs's, and leaves what the same layer has", async () => {
    const lower = buildLayer([
      { name: "a/", type: "directory" },
      { name: "a/old", content: "1" },
      { name: "b/", type: "directory" },
      { name: "b/old", content: "1" },
      { name: "gone", content: "1" },
    ]);
    const upper = buildLayer([
      { name: ".wh.gone" },
      { name: "a/", type: "directory" },
      { name: "a/new", content: "2" },
      { name: "a/.wh..wh..opq" },
      { name: ".wh.b" },
      { name: "b/", type: "directory" },
      { name: "b/new", content: "2" },
      { name: "stays", content: "2" },
      { name: ".wh.stays" },
      { name: ".wh..wh.plnk", content: "aufs" },
    ]);
    const image = await unpack(lower, upper);
    const { lowers, upper: writable, work } = await test.store.prepareSnapshot("c1", image, signal);
    const target = join(test.directory, "..", "merged");
    await run("mkdir", [target]);
    const flags = { readonly: false, nosuid: true, nodev: true };
    await test.native.mountOverlay({ lowers, upper: writable, work, target, flags, index: true });
    try {
      const paths = (await listTree(target)).map((line) => line.split(" ").at(4));
      expect(paths.sort()).to.deep.equal(["a", "a/new", "b", "b/new", "stays"]);
    } finally {
      await test.native.unmount(target, true);
    }
    for (const path of ["/a/old", "/b/old", "/gone"]) expect(await test.store.readFile(image, path)).to.equal(null);
    expect(String(await test.store.readFile(image, "/b/new"))).to.equal("2");
    expect(String(await test.store.readFile(image, "/stays"))).to.equal("2");
  });

  it("gives a directory without an entry the attributes that it has below", async () => {
    const lower = buildLayer([
      { name: "./", type: "directory", mode: 0o750, uid: 9 },
      { name: "home/", type: "directory", mode: 0o700, uid: 42, gid: 43, mtime: 1_234_567_890 },
    ]);
    const image = await unpack(lower, buildLayer([{ name: "home/new/file", content: "x" }]));
    const root = await rootOf(image);
    expect(await run("stat", ["-c", "%a %u %g %Y", root, `${root}/home`, `${root}/home/new`])).to.match(
      /^750 9 0 \d+\n700 42 43 1234567890\n755 0 0 \d+\n$/,
    );
    const { upper } = await test.store.prepareSnapshot("c1", image, signal);
    expect(await run("stat", ["-c", "%a %u %g", upper])).to.equal("750 9 0\n");
  });

  it("gives it the extended attributes that it has below, but for overlayfs's", async () => {
    const noted = (path: string, note: string): TarEntry => ({
      name: path,
      type: "directory",
      mode: 0o2750,
      pax: { "SCHILY.xattr.user.note": note, "SCHILY.xattr.trusted.note": "t", "SCHILY.xattr.security.note": "s" },
    });
    const layers = [
      [noted("./", "root"), noted("home/", "lowest"), noted("work/", "hidden"), { name: "home/old", content: "o" }],
      [noted("home/", "lower"), { name: "home/.wh..wh..opq" }, { name: "home/lower", content: "l" }],
      [{ name: "home/new", content: "x" }, noted("work/", "own"), { name: "work/new", content: "x" }],
    ];
    const image = await unpack(...layers.map((entries) => buildLayer(entries)));
    const root = await rootOf(image);
    const hex = (text: string): string => Buffer.from(text).toString("hex");
    const expected = { "trusted.note": hex("t"), "security.note": hex("s") };
    expect(await attributes(root)).to.deep.equal({ ...expected, "user.note": hex("root") });
    expect(await attributes(join(root, "home"))).to.deep.equal({ ...expected, "user.note": hex("lower") });
    expect(await attributes(join(root, "work"))).to.deep.equal({ ...expected, "user.note": hex("own") });
    expect(await run("stat", ["-c", "%a", join(root, "home")])).to.equal("2750\n");
  });

  it("takes 120 layers", async function () {
    this.timeout(60_000);
    const layers = Array.from({ length: 120 }, (_, at) => buildLayer([{ name: "top", content: String(at) }]));
    const image = await unpack(...layers);
    expect(image.chainIds).to.have.length(120);
    expect(String(await test.store.readFile(image, "/top"))).to.equal("119");
  });

  it("lets a link replace a link, and a file written over it stay in the layer", async () => {
    const outside = join(test.directory, "..", "outside");
    await writeFile(outside, "kept");
    const image = await unpack(
      buildLayer([
        { name: "f", type: "symlink", link: outside },
        { name: "f", content: "new" },
      ]),
    );
    expect(await run("cat", [outside, join(await rootOf(image), "f")])).to.equal("keptnew");
  });
});

describe("a layer that would leave its root", () => {
  let test: TestStore;
  let outside: string;

  before(async () => {
    test = await makeTestStore();
    outside = join(test.directory, "..", "outside");
    await mkdir(outside);
    await writeFile(join(outside, "kept"), "kept");
  });
  after(async () => {
    await test.close();
  });

  const hostile: readonly { readonly what: string; readonly entries: TarEntry[]; readonly says: RegExp }[] = [
    { what: '".." in a name', entries: [{ name: "../out", content: "x" }], says: /entry "\.\.\/out".*has "\.\."/ },
    { what: '".." in the middle of a name', entries: [{ name: "a/../../out" }], says: /leaves its root/ },
    { what: '".." at the end of a name', entries: [{ name: "a/..", type: "directory" }], says: /leaves its root/ },
    { what: '".." after a slash', entries: [{ name: "/../a" }], says: /leaves its root/ },
    { what: '".." in a PAX name', entries: [{ name: "a", pax: { path: "../out" } }], says: /leaves its root/ },
    {
      what: "a hard link to an absolute path that is not the layer's",
      entries: [{ name: "a", type: "hardlink", link: "/etc/hostname" }],
      says: /entry "a".*not in the layer/,
    },
    { what: 'a hard link with ".."', entries: [{ name: "a", type: "hardlink", link: "../out" }], says: /has "\.\."/ },
    {
      what: 'a hard link with ".." inside',
      entries: [{ name: "a", type: "hardlink", link: "a/../b" }],
      says: /has "\.\."/,
    },
    { what: "a hard link to no name", entries: [{ name: "a", type: "hardlink", link: "." }], says: /has no target/ },
    {
      what: "a hard link through a link that leads outside",
      entries: [
        { name: "conf", type: "symlink", link: "/etc" },
        { name: "a", type: "hardlink", link: "conf/hostname" },
      ],
      says: /entry "a".*not in the layer/,
    },
    { what: "a hard link to nothing", entries: [{ name: "a", type: "hardlink", link: "b" }], says: /not in the layer/ },
    { what: "a hard link to itself", entries: [{ name: "a", type: "hardlink", link: "a" }], says: /not in the layer/ },
    {
      what: "a hard link to what a whiteout has taken away",
      entries: [{ name: ".wh.b" }, { name: "a", type: "hardlink", link: "b" }],
      says: /not in the layer/,
    },
    {
      what: "a hard link to a directory",
      entries: [
        { name: "d/", type: "directory" },
        { name: "a", type: "hardlink", link: "d" },
      ],
      says: /leads to a directory/,
    },
    {
      what: "a hard link in the place of the directory that its target is in",
      entries: [
        { name: "d/f", content: "x" },
        { name: "d", type: "hardlink", link: "d/f" },
      ],
      says: /not in the layer/,
    },
    {
      what: "links in a circle",
      entries: [
        { name: "a", type: "symlink", link: "b" },
        { name: "b", type: "symlink", link: "a" },
        { name: "a/file", content: "x" },
      ],
      says: /entry "a\/file".*too many links/,
    },
    {
      what: "a file below a file",
      entries: [
        { name: "f", content: "x" },
        { name: "f/g", content: "y" },
      ],
      says: /"f" is a file/,
    },
    {
      what: "a root that is a file",
      entries: [{ name: "./", type: "symlink", link: "/" }],
      says: /root is not a directory/,
    },
    ...[".wh.", ".wh..", ".wh..."].map((name) => ({
      what: `a whiteout of nothing, ${name}`,
      entries: [{ name }],
      says: /whiteout of nothing/,
    })),
    {
      what: "a name longer than the file system takes",
      entries: [{ name: "a", pax: { path: "n".repeat(300) } }],
      says: /entry "n+/,
    },
    {
      what: "a path longer than the kernel takes",
      entries: [{ name: "a", pax: { path: `${"n".repeat(200)}/`.repeat(21) + "f" } }],
      says: /longer than a path may be/,
    },
    {
      what: "more directories in each other than anyone needs",
      entries: [{ name: "a", pax: { path: `${"d/".repeat(1500)}f` } }],
      says: /deeper than 1024 directories/,
    },
    {
      what: "a size beyond the archive",
      entries: [{ name: "a", content: "x", claimedSize: 1e9 }],
      says: /ends inside/,
    },
    { what: "a wrong checksum", entries: [{ name: "a", badChecksum: true }], says: /not a tar: .*checksum is wrong/ },
    {
      what: "a PAX record without its length",
      entries: [{ name: "p", type: "pax", content: "99 path=a\n" }],
      says: /PAX record/,
    },
    {
      what: "a record that is longer than any name",
      entries: [{ name: "p", type: "gnuLongName", content: Buffer.alloc(2 * 1024 * 1024, "n") }],
      says: /a record has 2097152 bytes/,
    },
    {
      what: "an owner that no file can have",
      entries: [{ name: "a", pax: { uid: "4294967295" } }],
      says: /uid is out of range/,
    },
  ];
  for (const { what, entries, says } of hostile) {
    it(`is refused for ${what}: the error names entry and layer, and nothing is left`, async () => {
      const layer = buildLayer(entries);
      const thrown = await importLayers(test, [layer]).catch((caught: unknown) => caught);
      expect(thrown).to.have.property("message").that.matches(says).and.includes(layer.digest);
      expect(thrown).to.have.property("code", "invalidArgument");
      expect(await run("find", [outside, "-printf", "%P %s\\n"])).to.match(/^ \d+\nkept 4\n$/);
      expect(await test.contents()).to.deep.equal({ blobs: [], layers: [] });
      expect(await test.leftovers()).to.deep.equal([]);
    });
  }
});

describe("a bomb", () => {
  it("of 1 GiB of zeros in 1 MiB is refused, and nothing is left", async () => {
    await using test = await disposable(makeTestStore());
    const mib = 1024 * 1024;
    const header = buildTar([{ name: "zeros", claimedSize: 1024 * mib }]).subarray(0, 512);
    const zeros = gzipSync(Buffer.alloc(mib));
    const bytes = Buffer.concat([gzipSync(header), ...Array.from({ length: 1024 }, () => zeros)]);
    const layer = { ...buildLayer([]), bytes, digest: sha256(bytes) };
    const thrown = await importLayers(test, [layer]).catch((caught: unknown) => caught);
    expect(bytes.length).to.be.within(mib, 1.1 * mib);
    expect(thrown)
      .to.have.property("message")
      .that.matches(/unpacks to more than the 268435456 bytes/);
    expect(await test.contents()).to.deep.equal({ blobs: [], layers: [] });
    expect(await test.leftovers()).to.deep.equal([]);
  });
});

describe("links on the way to an entry", () => {
  let test: TestStore;
  let outside: string;
  /** "mode uid gid kind path" of the last tree. */
  let modes: string[];

  beforeEach(async () => {
    test = await makeTestStore();
    outside = join(test.directory, "..", "outside");
    await mkdir(outside);
    await writeFile(join(outside, "kept"), "kept");
  });
  afterEach(async () => {
    expect(await run("find", [outside, "-printf", "%P %s\\n"])).to.match(/^ \d+\nkept 4\n$/);
    await test.close();
  });

  async function treeOf(...layers: readonly TarEntry[][]): Promise<string[]> {
    const image = await importLayers(
      test,
      layers.map((entries) => buildLayer(entries)),
    );
    const chainId = image.chainIds.at(-1);
    if (chainId === undefined) throw new Error("no layer");
    modes = (await listTree(layerRoot(await prepareStoreDirectory(test.directory), chainId))).map((line) =>
      line.trim(),
    );
    return modes.map((line) => line.split(" ").slice(3).join(" ").trim());
  }

  it("are followed inside of the layer, as in a container", async () => {
    const tree = await treeOf([
      { name: "usr/lib/", type: "directory" },
      { name: "lib", type: "symlink", link: "usr/lib" },
      { name: "lib/one", content: "1" },
      { name: "var/run", type: "symlink", link: "/run" },
      { name: "var/run/two", content: "2" },
      { name: "deep/link", type: "symlink", link: "../../../../../usr/./lib/" },
      { name: "deep/link/three", content: "3" },
      { name: "hard", type: "hardlink", link: "/lib/one" },
      { name: "lib/.wh.gone" },
    ]);
    expect(tree).to.include.members(["f usr/lib/one", "f run/two", "f usr/lib/three", "f hard", "c usr/lib/gone"]);
    expect(tree).to.include.members(["l lib usr/lib", "l var/run /run"]);
  });

  it("never lead out of it, wherever they point and however they are swapped", async () => {
    const tree = await treeOf([
      { name: "out", type: "symlink", link: outside },
      { name: "out/file", content: "x" },
      { name: "out/.wh.kept" },
      { name: "out/.wh..wh..opq" },
      { name: "d/", type: "directory" },
      { name: "d/one", content: "1" },
      { name: "d", type: "symlink", link: `../../../../../../../../../..${outside}` },
      { name: "d/two", content: "2" },
    ]);
    const inside = outside.slice(1);
    expect(tree).to.include.members([`f ${inside}/file`, `f ${inside}/two`, `c ${inside}/kept`, `l out ${outside}`]);
    expect(tree).to.not.include("f d/one");
  });

  it("of a lower layer give way to a directory, which gets the attributes of the one that they led to", async () => {
    const lower: TarEntry[] = [
      { name: "usr/bin/", type: "directory", mode: 0o751, uid: 7 },
      { name: "bin", type: "symlink", link: "usr/bin" },
      { name: "loop", type: "symlink", link: "loop" },
    ];
    const tree = await treeOf(lower, [
      { name: "bin/tool", content: "t" },
      { name: "loop/file", content: "f" },
    ]);
    expect(tree.sort()).to.deep.equal(["d bin", "d loop", "f bin/tool", "f loop/file"]);
    expect(modes).to.include.members(["0751 7 0 d bin", "0755 0 0 d loop"]);
  });
});

async function disposable(made: Promise<TestStore>): Promise<TestStore & AsyncDisposable> {
  const test = await made;
  return { ...test, [Symbol.asyncDispose]: () => test.close() };
}

/** Brings layers in as an image, in an archive of an OCI layout. */
async function importLayers(test: TestStore, layers: readonly BuiltLayer[]): Promise<Image> {
  const path = join(test.directory, "..", "layout.tar");
  await writeFile(path, ociArchive(layers, "test/app:v1"));
  const [image] = await test.store.importArchive(path, signal);
  if (image === undefined) throw new Error("no image came");
  return image;
}

const xattrPrefix = "SCHILY.xattr.";

/** By GNU tar, which every Debian has. */
async function attributes(path: string): Promise<Record<string, string>> {
  const archive = `${path}.tar`;
  const options = ["--xattrs", "--xattrs-include=*", "--no-recursion"];
  await run("tar", ["-C", dirname(path), ...options, "-cf", archive, basename(path)]);
  const bytes = await readFile(archive);
  if (bytes.toString("latin1", 156, 157) !== "x") return {}; // no records before the entry: it has none
  const records = bytes.subarray(512, 512 + Number.parseInt(bytes.toString("latin1", 124, 136), 8));
  const found = [...parsePax(records)].filter(([key]) => key.startsWith(xattrPrefix));
  return Object.fromEntries(found.map(([key, value]) => [key.slice(xattrPrefix.length), value.toString("hex")]));
}

function ociArchive(layers: readonly BuiltLayer[], name: string): Buffer {
  const { config, manifest, mediaType } = describeImage({ layers });
  const annotations = { "io.containerd.image.name": name };
  const index = {
    schemaVersion: 2,
    manifests: [{ mediaType, digest: sha256(manifest), size: manifest.length, annotations }],
  };
  const blob = (content: Buffer): TarEntry => ({ name: `blobs/sha256/${sha256(content).slice(7)}`, content });
  const unique = new Map(layers.map((layer) => [layer.digest, layer.bytes]));
  return buildTar([
    { name: "oci-layout", content: '{"imageLayoutVersion":"1.0.0"}' },
    { name: "index.json", content: JSON.stringify(index) },
    ...[config, manifest, ...unique.values()].map(blob),
  ]);
}
