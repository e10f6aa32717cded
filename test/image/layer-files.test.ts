/**
 * Layers as EROFS images: what the kernel of this machine shows of one is what the tree has that it was made of. A3S_FUZZ
 * is eight times the number of layers that are made up, A3S_FUZZ_SEED the first seed.
 */
import { expect } from "chai";
import { mkdir, readdir, rename, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { run, makeTestStore, type TestStore } from "../support/image-store.js";
import { busybox, writeArchive } from "../support/images.js";
import { numbersFrom } from "../support/mutate.js";
import { skipBecause } from "../support/skip.js";
import { buildTar, type TarEntry } from "../support/tar-builder.js";
import { differences, treeFacts } from "../support/tree-facts.js";
import { diffIdOf, sanitizedUnpacker, UnpackBed } from "../support/unpacker.js";

const count = Math.ceil(Number(process.env["A3S_FUZZ"] ?? "200") / 8);
const firstSeed = Number(process.env["A3S_FUZZ_SEED"] ?? "1");
const signal = new AbortController().signal;

/** What the kernel shows of it. Without what only the host's overlays read, and by the name that the guest's do. */
async function factsOfFile(bed: UnpackBed, file: string): Promise<Map<string, string>> {
  const place = await bed.freshDirectory();
  await run("mount", ["-t", "erofs", "-o", "ro", file, place]);
  try {
    return await treeFacts(place);
  } finally {
    await run("umount", [place]);
  }
}

async function factsOfTree(tree: string): Promise<Map<string, string>> {
  const facts = await treeFacts(tree);
  return new Map(
    [...facts].map(([path, line]) => [path, line.replace("trusted.overlay.opaque", "user.overlay.opaque")]),
  );
}

async function expectSame(bed: UnpackBed, tree: string, program?: string): Promise<void> {
  const packed = await bed.pack(tree, program);
  expect(packed, packed.log).to.deep.include({ code: 0, signal: null });
  expect(differences(await factsOfFile(bed, packed.file), await factsOfTree(tree))).to.deep.equal([]);
}

/** Entries below directories that come before them; what is linked is there. */
function anyLayer(random: () => number): TarEntry[] {
  const below = (limit: number): number => Math.floor(random() * limit);
  const pick = <T>(all: readonly [T, ...T[]]): T => all[below(all.length)] ?? all[0];
  const directories: [string, ...string[]] = [""];
  const files: string[] = [];
  const entries: TarEntry[] = [];
  for (let index = 0; index < 60; index += 1) {
    const name = `${pick(directories)}${index}${"n".repeat(below(90))}`;
    const facts = { mode: below(0o10000), uid: below(3) * 50_000, gid: below(70_000), mtime: below(2 ** 31) };
    const kind = pick(["directory", "file", "file", "file", "symlink", "hardlink", "character", "fifo", "whiteout"]);
    const [first] = files;
    if (kind === "directory") directories.push(`${name}/`);
    if (kind === "whiteout") entries.push({ name: name.replace(/[^/]*$/, ".wh.$&"), content: "" });
    else if (kind === "symlink") entries.push({ name, type: kind, link: "t".repeat(1 + below(1000)), ...facts });
    else if (kind === "hardlink" && first !== undefined) entries.push({ name, type: kind, link: first });
    else if (kind === "character")
      entries.push({ name, type: kind, major: 1 + below(4000), minor: below(90_000), ...facts });
    else if (kind === "directory" || kind === "fifo") entries.push({ name, type: kind, ...facts });
    else {
      const pax = below(4) === 0 ? { "SCHILY.xattr.user.any": "v".repeat(below(300)) } : {};
      const size = below(4) === 0 ? below(40_000) : below(6) * 1024 + pick([-1, 0, 1, 100]);
      entries.push({ name, content: "c".repeat(Math.max(0, size)), pax, ...facts });
      files.push(name);
    }
  }
  return entries.map(asRecords);
}

/** What may be longer than a header has room for comes before it. */
function asRecords(entry: TarEntry, index: number): TarEntry {
  const { name, link, pax = {} } = entry;
  const records = { ...pax, path: name, ...(link === undefined ? {} : { linkpath: link }) };
  return { ...entry, name: `entry-${index}`, ...(link === undefined ? {} : { link: "link" }), pax: records };
}

describe("a layer as a file", function () {
  this.timeout(120_000);
  before(async function () {
    await using bed = await UnpackBed.make();
    const { file } = await bed.pack(await bed.freshDirectory());
    const place = await bed.freshDirectory();
    const mounted = await run("mount", ["-t", "erofs", "-o", "ro", file, place]).catch(() => undefined);
    if (mounted === undefined) skipBecause(this, "this machine's kernel mounts no file as EROFS");
    await run("umount", [place]);
  });

  it("has files, links, devices, owners, times and attributes as the tree has", async () => {
    await using bed = await UnpackBed.make();
    const tree = await bed.freshDirectory();
    const script = [
      "mkdir -p a/b/c empty; echo hi >a/x; ln a/x a/hard; ln -s ../a/x a/link",
      "mknod a/whiteout c 0 0; mknod a/disk b 259 1100; mkfifo a/pipe; : >a/nothing",
      "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"a/socket\")'",
      // around the sizes at which content is put elsewhere: behind the inode, in blocks
      "for n in 1 1023 1024 1025 3000 4095 4096 4097 5120 5121 8192 9216 9217 1048577; do head -c $n /dev/urandom >a/b/$n; done",
      "ln -s $(printf 'y%.0s' $(seq 1 4000)) a/longest; ln -s $(printf 'y%.0s' $(seq 1 4095)) a/longer",
      "chown 100000:1100 a/b/1; chown -h 7:8 a/link; chmod 4755 a/b/3000; chmod 1777 empty; chmod 000 a/b/4096",
      "touch -d 1960-01-01T00:00:00.123456789Z a/b/1025; touch -h -d 2100-01-01T00:00:00.5Z a/link",
      "setfattr -n user.one -v two a/x; setfattr -n user.long -v $(head -c 2500 /dev/zero | tr '\\0' a) a/b/1024",
      "setfattr -n trusted.own -v 1 a; setfattr -n trusted.overlay.opaque -v y a/b; setcap cap_net_raw+ep a/b/4097",
    ];
    await run("sh", ["-ec", `cd ${tree}; ${script.join("; ")}`]);
    await expectSame(bed, tree);
  });

  it("has every name of a large directory, and finds it", async () => {
    await using bed = await UnpackBed.make();
    const tree = await bed.freshDirectory();
    const long = "$(printf '%*s' $((i % 200)) | tr ' ' n)";
    await run("sh", ["-ec", `cd ${tree}; for i in $(seq 1 4000); do : >"$i-${long}"; done`]);
    await expectSame(bed, tree);
  });

  it("has names that are no text", async () => {
    await using bed = await UnpackBed.make();
    const tree = await bed.freshDirectory();
    await run("sh", ["-ec", `cd ${tree}; for n in '\\377\\200z' '\\001' a ' '; do : >"$(printf "$n")"; done`]);
    const { file } = await bed.pack(tree);
    const place = await bed.freshDirectory();
    await run("mount", ["-t", "erofs", "-o", "ro", file, place]);
    try {
      const listed = async (top: string): Promise<string> =>
        await run("sh", ["-c", `cd ${top}; for n in *; do test -f "$n" && printf '%s' "$n" | od -An -c; done`]);
      expect(await listed(place))
        .to.equal(await listed(tree))
        .and.include("377 200");
    } finally {
      await run("umount", [place]);
    }
  });

  it("has the holes of sparse files, of any size, and takes no room for them", async () => {
    await using bed = await UnpackBed.make();
    const tree = await bed.freshDirectory();
    await run("sh", [
      "-ec",
      `cd ${tree}; truncate -s 3G large; echo data | dd of=large bs=1 seek=2000000000 conv=notrunc 2>/dev/null;` +
        "truncate -s 100000 small; echo end >>small; truncate -s 5000 all-hole; truncate -s 20G huge; echo x >>huge",
    ]);
    const packed = await bed.pack(tree);
    expect(packed.code, packed.log).to.equal(0);
    expect((await stat(packed.file)).size).to.be.below(16 * 1024 * 1024);
    const place = await bed.freshDirectory();
    await run("mount", ["-t", "erofs", "-o", "ro", packed.file, place]);
    try {
      for (const name of ["small", "all-hole"]) await run("cmp", [join(tree, name), join(place, name)]);
      const at = [
        "-c",
        "dd if=$0 bs=1 skip=1999999998 count=12 2>/dev/null | od -c; tail -c 3 $1 | od -c; stat -c %s $0 $1",
      ];
      const [ours, theirs] = await Promise.all(
        [place, tree].map((top) => run("sh", [...at, join(top, "large"), join(top, "huge")])),
      );
      expect(ours).to.equal(theirs);
    } finally {
      await run("umount", [place]);
    }
  });

  it("of a tree that is deeper than any layer is refused, and nothing is left that could be taken for it", async () => {
    await using bed = await UnpackBed.make();
    const tree = await bed.freshDirectory();
    const descend = "import os\nfor i in range(1100):\n os.mkdir('d'); os.chdir('d')\n";
    await run("sh", ["-c", `cd ${tree}; python3 -c "${descend}"`]);
    const packed = await bed.pack(tree);
    expect(packed.code).to.equal(1);
    expect(packed.fields[0]).to.equal("internal");
  });

  it(`is the same for ${count} layers of any kind, with sanitizers`, async function () {
    this.timeout(60_000 + count * 2000);
    await using bed = await UnpackBed.make();
    for (let seed = firstSeed; seed < firstSeed + count; seed += 1) {
      const tar = buildTar(anyLayer(numbersFrom(seed)));
      const { code, fields, directory } = await bed.unpack(tar, "none", diffIdOf(tar));
      expect(code, `seed ${seed}: ${fields.join(" ")}`).to.equal(0);
      await expectSame(bed, join(directory, "fs"), sanitizedUnpacker);
      await bed.remove(directory);
    }
  });
});

describe("layers' files of a store", () => {
  let test: TestStore;
  beforeEach(async () => {
    test = await makeTestStore();
  });
  afterEach(async () => {
    await test.close();
  });

  it("are made when a container wants them, kept for the next one, and gone with the image", async () => {
    const archive = join(test.directory, "..", "image.tar");
    await writeArchive(archive, [await busybox()]);
    const [image] = await test.store.importArchive(archive, signal);
    if (image === undefined) throw new Error("nothing was imported");
    const plain = await test.store.prepareSnapshot("plain", image, signal);
    expect(plain.layerFiles).to.equal(undefined);
    const [first, second] = await Promise.all(
      ["c1", "c2"].map((key) => test.store.prepareSnapshot(key, image, signal, { layerFiles: true })),
    );
    expect(first?.layerFiles).to.have.length(1).and.deep.equal(second?.layerFiles);
    const [file = ""] = first?.layerFiles ?? [];
    const made = await stat(file);
    const before = await test.store.imageUsage();
    expect(Number(before.usedBytes)).to.be.above(made.size);
    const third = await test.store.prepareSnapshot("c3", image, signal, { layerFiles: true });
    expect((await stat(third.layerFiles?.[0] ?? "")).ino).to.equal(made.ino);
    expect(await readdir(third.written)).to.have.members(["upper", "work"]);
    expect(await test.leftovers()).to.deep.equal([]);
    for (const key of ["plain", "c1", "c2", "c3"]) await test.store.removeSnapshot(key, signal);
    await test.store.remove(image.id, signal);
    expect((await test.contents()).layers).to.deep.equal([]);
  });

  it("of an earlier boot are made anew", async () => {
    const archive = join(test.directory, "..", "image.tar");
    await writeArchive(archive, [await busybox()]);
    const [image] = await test.store.importArchive(archive, signal);
    if (image === undefined) throw new Error("nothing was imported");
    const { layerFiles } = await test.store.prepareSnapshot("c1", image, signal, { layerFiles: true });
    const [file = ""] = layerFiles ?? [];
    const layer = join(file, "..");
    await rename(file, join(layer, "of-another-boot.erofs"));
    await mkdir(join(layer, "own"));
    const again = await test.store.prepareSnapshot("c2", image, signal, { layerFiles: true });
    expect(again.layerFiles).to.deep.equal([file]);
    expect((await readdir(layer)).filter((name) => name.endsWith(".erofs"))).to.deep.equal([basename(file)]);
  });
});
