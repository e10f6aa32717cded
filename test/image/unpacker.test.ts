/** The program that unpacks layers: formats, its jail, and blobs that are still coming. */
import { expect } from "chai";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFile, lstat, open, readdir, readFile, readlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { run } from "../support/image-store.js";
import { buildTar, type TarEntry } from "../support/tar-builder.js";
import { diffIdOf, UnpackBed, unpackerProgram } from "../support/unpacker.js";
import { eventually } from "../support/wait.js";

const entries: TarEntry[] = [
  { name: "d/", type: "directory" },
  { name: "d/f", content: "x".repeat(700_000) },
  { name: "d/g", content: "g" },
];
const tar = buildTar(entries);

async function zstd(bytes: Uint8Array, ...options: string[]): Promise<Buffer> {
  const started = promisify(execFile)("zstd", ["-q", "-c", ...options], { encoding: "buffer", maxBuffer: 1 << 28 });
  started.child.stdin?.end(bytes);
  return (await started).stdout;
}

/** RFC 8878, 3.1.2: magic, length, anything. */
function skippable(length: number): Buffer {
  const frame = Buffer.alloc(8 + length, 0xee);
  frame.writeUInt32LE(0x184d2a5e, 0);
  frame.writeUInt32LE(length, 4);
  return frame;
}

describe("a layer's format", function () {
  this.timeout(60_000);
  let bed: UnpackBed;
  before(async () => {
    bed = await UnpackBed.make();
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
  });

  async function expectUnpacked(bytes: Uint8Array, compression: "none" | "gzip" | "zstd"): Promise<void> {
    const { code, fields, log, directory } = await bed.unpack(bytes, compression, diffIdOf(tar));
    expect({ code, fields, log }).to.deep.equal({ code: 0, fields: [], log: "" });
    expect((await readFile(join(directory, "fs/d/f"), "utf8")).length).to.equal(700_000);
    expect(await readFile(join(directory, "fs/d/g"), "utf8")).to.equal("g");
  }
  const halves = (parts: number): Buffer[] =>
    Array.from({ length: parts }, (_, at) =>
      tar.subarray(Math.floor((tar.length * at) / parts), Math.floor((tar.length * (at + 1)) / parts)),
    );

  it("is a plain tar", () => expectUnpacked(tar, "none"));
  it("is gzip of one member", () => expectUnpacked(gzipSync(tar), "gzip"));
  it("is gzip of many members, one of nothing, with zeros after them", () =>
    expectUnpacked(
      Buffer.concat([gzipSync(""), ...halves(40).map((part) => gzipSync(part)), Buffer.alloc(1000)]),
      "gzip",
    ));
  it("is zstd", async () => {
    await expectUnpacked(await zstd(tar), "zstd");
  });
  it("is zstd of many frames, some to be skipped, with a wide window", async () => {
    const frames = await Promise.all(halves(5).map((part) => zstd(part, "--long=27")));
    await expectUnpacked(
      Buffer.concat([skippable(0), ...frames.flatMap((frame) => [frame, skippable(70_000)])]),
      "zstd",
    );
  });

  for (const compression of ["gzip", "zstd"] as const) {
    it(`of ${compression} is refused where it is cut, changed or something else`, async () => {
      const whole = compression === "gzip" ? gzipSync(tar) : await zstd(tar, "--check");
      const changed = Buffer.from(whole);
      const middle = Math.floor(whole.length / 2);
      changed.fill(0x55, middle, middle + 20);
      const cuts = [1, 5, 20, middle, whole.length - 1].map((end) => whole.subarray(0, end));
      for (const bytes of [...cuts, changed, Buffer.from("<html>no layer</html>")]) {
        const { code, fields } = await bed.unpack(bytes, compression, diffIdOf(tar));
        expect(code).to.equal(1);
        expect(fields[0]).to.equal("internal");
        expect(fields[1]).to.match(/can't be decompressed: |not a tar: /);
      }
    });
  }

  it("has the digest that the config says, or is refused", async () => {
    const { fields } = await bed.unpack(tar, "none", diffIdOf(Buffer.from("other")));
    expect(fields[1]).to.match(/^the unpacked layer is sha256:[0-9a-f]{64}, and not sha256:[0-9a-f]{64} as the config/);
  });

  it("may be empty, or lack its end", async () => {
    for (const bytes of [Buffer.alloc(0), tar.subarray(0, -1024), buildTar([])]) {
      const { code } = await bed.unpack(bytes, "none", diffIdOf(bytes));
      expect(code).to.equal(0);
    }
  });

  it("may have names that are no text", async () => {
    const bytes = buildTar([{ name: "a", content: "1", pax: { path: Buffer.from([0x66, 0xff]) } }]);
    const { directory } = await bed.unpack(bytes, "none", diffIdOf(bytes));
    expect(await readdir(Buffer.from(join(directory, "fs")), { encoding: "buffer" })).to.deep.equal([
      Buffer.from([0x66, 0xff]),
    ]);
  });

  it("is refused with its name where an entry is of an unknown kind", async () => {
    const { fields } = await bed.unpack(buildTar([{ name: "v", type: "gnuVolume" }]), "none", "");
    expect(fields).to.deep.equal(["unimplemented", 'entry "v": it has the unknown tar type "V"']);
  });

  it("keeps fractions of seconds, times before 1970 and large owners", async () => {
    const bytes = buildTar([
      { name: "a", content: "1", pax: { mtime: "1700000000.123456789", uid: "4294967294", gid: "70000" } },
      { name: "b", content: "2", pax: { mtime: "-1.25" } },
      { name: "c", content: "3", pax: { "SCHILY.xattr.trusted.note": "t" } },
    ]);
    const { directory } = await bed.unpack(bytes, "none", diffIdOf(bytes));
    const stat = async (name: string) => await lstat(join(directory, "fs", name), { bigint: true });
    expect(await stat("a")).to.include({ mtimeNs: 1_700_000_000_123_456_789n, uid: 4_294_967_294n, gid: 70_000n });
    expect((await stat("b")).mtimeNs).to.equal(-1_250_000_000n);
    expect(await run("python3", ["-c", xattrScript, join(directory, "fs/c")])).to.equal("b't'\n");
  });

  const xattrScript = "import os,sys; print(os.getxattr(sys.argv[1], 'trusted.note'))";

  const sparseFormats = [
    "oldgnu",
    "posix --sparse-version=0.0",
    "posix --sparse-version=0.1",
    "posix --sparse-version=1.0",
  ];
  for (const format of sparseFormats) {
    it(`has sparse files, as GNU tar writes them: ${format}`, async () => {
      const source = await bed.freshDirectory();
      for (const [name, parts, length] of [
        ["many", 60, 8_000_000],
        ["end", 1, 3_000_000],
        ["none", 0, 5_000_000],
      ] as const) {
        await writeFile(join(source, name), "");
        await using file = await open(join(source, name), "r+");
        for (let part = 1; part <= parts; part += 1)
          await file.write(Buffer.alloc(5000, part), 0, 5000, part * 100_000);
        await file.truncate(length);
      }
      await writeFile(join(source, "plain"), "p");
      const archive = `${source}.tar`;
      await run("tar", ["-C", source, "-S", ...`--format=${format}`.split(" "), "-cf", archive, "."]);
      const bytes = await readFile(archive);
      expect(bytes.length).to.be.lessThan(1_000_000);
      const { code, fields, directory } = await bed.unpack(bytes, "none", diffIdOf(bytes));
      expect({ code, fields }).to.deep.equal({ code: 0, fields: [] });
      for (const name of ["many", "end", "none", "plain"]) {
        await run("cmp", [join(source, name), join(directory, "fs", name)]);
      }
      expect((await lstat(join(directory, "fs/many"))).blocks).to.be.lessThan(3000);
    });
  }

  it("is refused where a sparse file's map lies", async () => {
    const maps = ["0,10,5,10", "0,99999", "5", "x,1", "9223372036854775807,1", "0,1,1,18446744073709551615", "-1,1"];
    for (const map of maps) {
      const pax = { "GNU.sparse.map": map, "GNU.sparse.size": "100" };
      const { code, fields } = await bed.unpack(buildTar([{ name: "s", content: "0123456789", pax }]), "none", "");
      expect([code, fields[0]], map).to.deep.equal([1, "internal"]);
      expect(fields[1], map).to.match(/entry "s": .*(map is wrong|not a number)/);
    }
  });
});

describe("the unpacker's jail", function () {
  this.timeout(60_000);
  /** The process while it waits for the rest of its blob. */
  async function withWaiting(look: (pid: number, bed: UnpackBed, directory: string) => Promise<void>): Promise<void> {
    await using bed = await UnpackBed.make();
    const directory = await bed.freshDirectory();
    const blob = join(bed.top, "blob");
    await writeFile(blob, tar.subarray(0, 1024));
    await using input = await open(blob, "r");
    await using other = await open("/etc/passwd", "r");
    const args = ["unpack", directory, "none", String(tar.length), diffIdOf(tar)];
    const stdio = [input.fd, "ignore", "ignore", other.fd, other.fd, other.fd] as const;
    const child = spawn(unpackerProgram, args, { stdio: [...stdio] });
    const ended = once(child, "close");
    try {
      const pid = child.pid ?? 0;
      await eventually("the jail", 20_000, async () => /^Seccomp:\s2/m.test(await statusOf(pid)) || undefined);
      await look(pid, bed, directory);
    } finally {
      child.kill("SIGKILL");
      await ended;
    }
  }
  const statusOf = async (pid: number): Promise<string> => await readFile(`/proc/${pid}/status`, "utf8");
  const brokerOf = async (pid: number): Promise<number> =>
    Number((await readFile(`/proc/${pid}/task/${pid}/children`, "utf8")).trim());

  it("has five capabilities, a filter, no new privileges, and no file but the blob and the lock", async () => {
    await withWaiting(async (pid, _, directory) => {
      const status = await statusOf(pid);
      // CHOWN 0, DAC_OVERRIDE 1, FOWNER 3, FSETID 4, SETFCAP 31.
      for (const set of ["CapPrm", "CapEff", "CapBnd"]) expect(status).to.include(`${set}:\t000000008000001b\n`);
      expect(status)
        .to.match(/^CapInh:\s0+$/m)
        .and.match(/^NoNewPrivs:\s1$/m);
      const descriptors = await readdir(`/proc/${pid}/fd`);
      const targets = await Promise.all(descriptors.map((fd) => readlink(`/proc/${pid}/fd/${fd}`)));
      // Three of /etc/passwd were given: as the lock, and as two that nobody asked for.
      expect(targets.filter((target) => target.endsWith("passwd"))).to.have.length(1);
      expect((await readdir(`/proc/${pid}/root`)).sort()).to.deep.equal((await readdir(directory)).sort());
      expect((await readFile(`/proc/${pid}/mountinfo`, "utf8")).trim().split("\n")).to.have.length(1);
      const broker = await brokerOf(pid);
      // It closes its own jail, and may be behind.
      await eventually(
        "the broker's jail",
        20_000,
        async () => /^Seccomp:\s2/m.test(await statusOf(broker)) || undefined,
      );
      // DAC_OVERRIDE 1, SYS_ADMIN 21, MKNOD 27.
      expect(await statusOf(broker))
        .to.match(/^CapEff:\s0000000008200002$/m)
        .and.match(/^Seccomp:\s2$/m);
      expect((await readdir(`/proc/${broker}/root`)).sort()).to.deep.equal((await readdir(directory)).sort());
    });
  });

  it("takes its broker with it", async () => {
    let broker = 0;
    await withWaiting(async (pid) => {
      broker = await brokerOf(pid);
    });
    const isGone = async (): Promise<boolean> => /^State:\s[ZX]/m.test(await statusOf(broker).catch(() => "State:\tX"));
    await eventually("the broker's end", 20_000, async () => (await isGone()) || undefined);
  });
});

describe("a blob that is still coming", function () {
  this.timeout(60_000);
  it("is unpacked as it comes, and complete when its last byte is there", async () => {
    await using bed = await UnpackBed.make();
    const bytes = gzipSync(tar, { level: 0 });
    const step = 30_000;
    const blob = join(bed.top, "blob");
    await writeFile(blob, "");
    const directory = await bed.freshDirectory();
    const done = bed.run(directory, blob, "gzip", bytes.length, diffIdOf(tar));
    for (let at = 0; at < bytes.length; at += step) {
      await appendFile(blob, bytes.subarray(at, at + step));
      if (at !== step) continue;
      await eventually("a beginning", 20_000, async () => (await readdir(directory)).includes("fs") || undefined);
    }
    expect(await done).to.deep.include({ code: 0, fields: [] });
    expect((await readFile(join(directory, "fs/d/f"))).length).to.equal(700_000);
  });

  it("is not read beyond its length", async () => {
    await using bed = await UnpackBed.make();
    const blob = join(bed.top, "blob");
    await writeFile(blob, tar);
    await truncate(blob, tar.length + 5000);
    expect(await bed.run(await bed.freshDirectory(), blob, "none", tar.length, diffIdOf(tar))).to.include({ code: 0 });
  });
});
