import { expect } from "chai";
import { mkdir, writeFile } from "node:fs/promises";
import { createReadStream } from "node:fs";
import { basename, dirname, join } from "node:path";
import { layerRoot, prepareStoreFolder } from "../../src/image/content/store-folder.js";
import type { Image } from "../../src/image/image-store.js";
import { readTar } from "../../src/image/unpack/tar-reader.js";
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
    return layerRoot(await prepareStoreFolder(test.folder), chainId);
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
      { name: "./was-folder/", type: "directory" },
      { name: "./was-folder/in", content: "x" },
      { name: "./late/", type: "directory", mode: 0o700 },
      { name: "./late/file", content: "z" },
    ];
    const layer = buildLayer(entries);
    const image = await unpack(layer);
    const reference = join(test.folder, "..", "reference");
    const tar = join(test.folder, "..", "layer.tar");
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
    const target = join(test.folder, "..", "merged");
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

  it("gives a folder without an entry the attributes that it has below", async () => {
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

  it("takes 120 layers", async () => {
    const layers = Array.from({ length: 120 }, (_, at) => buildLayer([{ name: "top", content: String(at) }]));
    const image = await unpack(...layers);
    expect(image.chainIds).to.have.length(120);
    expect(String(await test.store.readFile(image, "/top"))).to.equal("119");
  });

  it("lets a link replace a link, and a file written over it stay in the layer", async () => {
    const outside = join(test.folder, "..", "outside");
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
    outside = join(test.folder, "..", "outside");
    await mkdir(outside);
    await writeFile(join(outside, "kept"), "kept");
  });
  after(async () => {
    await test.close();
  });

  const hostile: readonly { readonly what: string; readonly entries: TarEntry[]; readonly says: RegExp }[] = [
    { what: '".." in a name', entries: [{ name: "../out", content: "x" }], says: /entry "\.\.\/out".*has "\.\."/ },
    { what: '".." in the middle of a name', entries: [{ name: "a/../../out" }], says: /leaves its root/ },
    { what: '".." in a PAX name', entries: [{ name: "a", pax: { path: "../out" } }], says: /leaves its root/ },
    {
      what: "a hard link to an absolute path",
      entries: [{ name: "a", type: "hardlink", link: "/etc/hostname" }],
      says: /entry "a".*absolute/,
    },
    { what: 'a hard link with ".."', entries: [{ name: "a", type: "hardlink", link: "../out" }], says: /has "\.\."/ },
    {
      what: "a hard link through a link",
      entries: [
        { name: "etc", type: "symlink", link: "/etc" },
        { name: "a", type: "hardlink", link: "etc/hostname" },
      ],
      says: /entry "a".*through a link/,
    },
    { what: "a hard link to nothing", entries: [{ name: "a", type: "hardlink", link: "b" }], says: /not in the layer/ },
    {
      what: "a hard link to a folder",
      entries: [
        { name: "d/", type: "directory" },
        { name: "a", type: "hardlink", link: "d" },
      ],
      says: /leads to a folder/,
    },
    {
      what: "a file through a link",
      entries: [
        { name: "out", type: "symlink", link: "OUTSIDE" },
        { name: "out/file", content: "x" },
      ],
      says: /entry "out\/file".*"out" is a link/,
    },
    {
      what: "a folder swapped for a link before a file is written to it",
      entries: [
        { name: "d/", type: "directory" },
        { name: "d/one", content: "1" },
        { name: "d", type: "symlink", link: "OUTSIDE" },
        { name: "d/two", content: "2" },
      ],
      says: /entry "d\/two".*"d" is a link/,
    },
    {
      what: "a whiteout through a link",
      entries: [{ name: "out", type: "symlink", link: "OUTSIDE" }, { name: "out/.wh.kept" }],
      says: /is a link/,
    },
    {
      what: "an opaque mark through a link",
      entries: [{ name: "out", type: "symlink", link: "OUTSIDE" }, { name: "out/.wh..wh..opq" }],
      says: /is a link/,
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
      says: /root is not a folder/,
    },
    {
      what: "a name longer than the file system takes",
      entries: [{ name: "a", pax: { path: "n".repeat(300) } }],
      says: /entry "n+/,
    },
    {
      what: "a size beyond the archive",
      entries: [{ name: "a", content: "x", claimedSize: 1e9 }],
      says: /ends inside/,
    },
  ];
  for (const { what, entries, says } of hostile) {
    it(`is refused for ${what}: the error names entry and layer, and nothing is left`, async () => {
      const layer = buildLayer(
        entries.map((entry) => (entry.link === "OUTSIDE" ? { ...entry, link: outside } : entry)),
      );
      const thrown = await importLayers(test, [layer]).catch((caught: unknown) => caught);
      expect(thrown).to.have.property("message").that.matches(says).and.includes(layer.digest);
      expect(thrown).to.have.property("code", "invalidArgument");
      expect(await run("find", [outside, "-printf", "%P %s\\n"])).to.match(/^ \d+\nkept 4\n$/);
      expect(await test.contents()).to.deep.equal({ blobs: [], layers: [] });
      expect(await test.leftovers()).to.deep.equal([]);
    });
  }
});

/** Brings layers in as an image, in an archive of an OCI layout. */
async function importLayers(test: TestStore, layers: readonly BuiltLayer[]): Promise<Image> {
  const path = join(test.folder, "..", "layout.tar");
  await writeFile(path, ociArchive(layers, "test/app:v1"));
  const [image] = await test.store.importArchive(path, signal);
  if (image === undefined) throw new Error("no image came");
  return image;
}

/** By GNU tar, which every Debian has. */
async function attributes(path: string): Promise<Record<string, string>> {
  const archive = `${path}.tar`;
  const options = ["--xattrs", "--xattrs-include=*", "--no-recursion"];
  await run("tar", ["-C", dirname(path), ...options, "-cf", archive, basename(path)]);
  const found: Record<string, string> = {};
  await readTar(createReadStream(archive), ({ xattrs }) => {
    for (const [name, value] of xattrs) found[name] = Buffer.from(value).toString("hex");
    return null;
  });
  return found;
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
