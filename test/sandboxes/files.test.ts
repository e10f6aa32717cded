import { expect } from "chai";
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { basename } from "node:path";
import { errnoOf, RuntimeError } from "../../src/base/errors.js";
import type { FileEvent } from "../../src/sandboxes/core/file.js";
import { limit, eventually } from "../support/wait.js";
import { within } from "../vmm/bench-of-boxes.js";
import { all, asMe, asRoot, bodyOf, FilesRig, inWork } from "./files-rig.js";

const mib = 1 << 20;

async function code(work: Promise<unknown>): Promise<string> {
  return await work.then(
    () => "success",
    (thrown: unknown) => (thrown instanceof RuntimeError ? thrown.code : String(thrown)),
  );
}

async function* pattern(bytes: number): AsyncGenerator<Uint8Array, void> {
  const part = Buffer.alloc(64 * 1024);
  for (let at = 0; at < bytes; at += part.length) {
    part.writeUInt32LE(at);
    await Promise.resolve();
    yield Buffer.from(part.subarray(0, Math.min(part.length, bytes - at)));
  }
}

describe("files of a container", function () {
  this.timeout(limit(120_000));
  let rig: FilesRig;
  before(async () => {
    rig = await FilesRig.start();
  });
  after(async () => {
    await rig[Symbol.asyncDispose]();
  });
  const second = (): AbortSignal => within(30_000);

  it("writes a file with the directories above it, and reads it, whole and in part", async () => {
    const written = await rig.write("a/b/hello.txt", "hello there");
    expect(written).to.include({ name: "hello.txt", path: "/work/a/b/hello.txt", kind: "file", sizeBytes: 11 });
    expect(written).to.include({ mode: 0o644, uid: 0, owner: "root", group: "0" });
    expect(await rig.shell("cat /work/a/b/hello.txt")).to.equal("hello there");
    expect(await rig.text("/work/a/b/hello.txt")).to.equal("hello there");
    const part = await rig.files.read("a/b/hello.txt", asRoot, { offset: 6, length: 3 }, second());
    expect((await all(part)).toString()).to.equal("the");
    const beyond = await rig.files.read("a/b/hello.txt", asRoot, { offset: 600 }, second());
    expect([beyond.entry.sizeBytes, (await all(beyond)).length]).to.deep.equal([11, 0]);
  });

  it("replaces a file with its permissions and owner kept, and nothing else beside it", async () => {
    await rig.shell("mkdir /work/r; echo old > /work/r/x; chmod 640 /work/r/x; chown 1000:1000 /work/r/x");
    const entry = await rig.write("r/x", "new");
    expect(entry).to.include({ mode: 0o640, uid: 1000, owner: "me", group: "me" });
    expect(await rig.names("r")).to.deep.equal(["x"]);
    const made = await rig.files.write("r/y", asRoot, bodyOf("y"), { parents: false, mode: 0o4750 }, second());
    expect(made.mode).to.equal(0o4750);
  });

  it("makes, moves, tells of and removes, with the errors of the contract", async () => {
    const { files } = rig;
    expect(await files.makeDirectory("d/e", asRoot, 0o750, second())).to.include({ kind: "directory", mode: 0o750 });
    expect(await code(files.makeDirectory("d/e", asRoot, 0o750, second()))).to.equal("alreadyExists");
    await rig.write("d/e/f", "f");
    expect(await code(files.makeDirectory("d/e/f", asRoot, 0o750, second()))).to.equal("invalidArgument");
    expect(await files.move("d/e/f", "d/new/g", asRoot, second())).to.include({ path: "/work/d/new/g", sizeBytes: 1 });
    await rig.shell("ln -s new/g /work/d/link");
    expect(await files.stat("d/link", asRoot, false, second())).to.include({ kind: "link", target: "new/g" });
    expect(await files.stat("d/link", asRoot, true, second())).to.include({ kind: "file", path: "/work/d/new/g" });
    expect(await code(files.stat("d/none", asRoot, true, second()))).to.equal("notFound");
    expect(await code(files.read("d", asRoot, { offset: 0 }, second()))).to.equal("invalidArgument");
    expect(await code(files.write("d", asRoot, bodyOf("x"), { parents: false }, second()))).to.equal("invalidArgument");
    expect(await code(files.remove("d", asRoot, false, second()))).to.equal("failedPrecondition");
    await files.remove("d", asRoot, true, second());
    expect(await code(files.remove("d", asRoot, true, second()))).to.equal("notFound");
  });

  it("lists by path to a depth and a limit, ten thousand entries too", async () => {
    await rig.shell("mkdir -p /work/l/b/c; cd /work/l; echo 1 > a; echo 1 > b/x; echo 1 > b/c/y; echo 1 > b.txt");
    const deep = await rig.files.list("l", asRoot, { depth: 2, limit: 100 }, second());
    expect(deep.directory.path).to.equal("/work/l");
    expect(deep.entries.map(({ path }) => path.slice(8))).to.deep.equal(["a", "b", "b/c", "b/x", "b.txt"]);
    expect(deep.truncated).to.equal(false);
    await rig.shell("mkdir /small/many; cd /small/many; i=10000; while [ $i -lt 20000 ]; do : > $i; i=$((i+1)); done");
    const many = await rig.files.list("/small/many", asRoot, { depth: 1, limit: 10_000 }, second());
    expect([many.entries.length, many.entries[9_999]?.name, many.truncated]).to.deep.equal([10_000, "19999", false]);
    const some = await rig.files.list("/small/many", asRoot, { depth: 1, limit: 777 }, second());
    expect([some.entries.length, some.entries[776]?.name, some.truncated]).to.deep.equal([777, "10776", true]);
    await rig.files.remove("/small/many", asRoot, true, second());
  });

  it("carries 100 MB either way without a byte lost", async () => {
    const hash = createHash("sha256");
    for await (const part of pattern(100 * mib)) hash.update(part);
    const sum = hash.digest("hex");
    let startedMs = performance.now();
    await rig.files.write("big", asRoot, pattern(100 * mib), { parents: false }, within(100_000));
    const writeMs = performance.now() - startedMs;
    const copied = await rig.shell("time -f %e cp /work/big /work/copy 2>&1; rm /work/copy");
    expect((await rig.shell("sha256sum /work/big")).split(" ")[0]).to.equal(sum);
    startedMs = performance.now();
    const read = createHash("sha256");
    for await (const part of (await rig.files.read("big", asRoot, { offset: 0 }, within(100_000))).data)
      read.update(part);
    globalThis.process.stdout.write(
      `      (written in ${writeMs.toFixed(0)} ms, read in ${(performance.now() - startedMs).toFixed(0)} ms, cp ${copied.trim()} s)\n`,
    );
    expect(read.digest("hex")).to.equal(sum);
    await rig.files.remove("big", asRoot, false, second());
  });

  it("writes six long files at once, whole, of which four go through the share; nothing of them stays in it", async () => {
    const before = await rig.box.listShared();
    const bytes = 6 * mib + 77;
    const hash = createHash("sha256");
    for await (const part of pattern(bytes)) hash.update(part);
    const sum = hash.digest("hex");
    let looked: Promise<void> | undefined;
    async function* watched(): AsyncGenerator<Uint8Array, void> {
      for await (const part of pattern(bytes)) {
        yield part;
        looked ??= lookAtStaged();
        if (part.length < 64 * 1024) await looked;
      }
    }
    const staged = async (): Promise<string[]> => {
      const mounts = await rig.box.mountedShared();
      return mounts.map(({ target }) => target).filter((target) => basename(target).startsWith("staging"));
    };
    const lookAtStaged = async (): Promise<void> => {
      await eventually("four are staged", 20_000, async () => (await staged()).length === 4);
      for (const place of await staged()) {
        const opened = rig.box.lookAtShared(place, (path) => open(path, "r+"));
        expect(await opened.catch((thrown: unknown) => errnoOf(thrown))).to.equal("EROFS");
      }
    };
    const names = ["s1", "s2", "s3", "s4", "s5", "s6"];
    await Promise.all(
      names.map((name) => rig.files.write(name, asRoot, watched(), { parents: false }, within(60_000))),
    );
    const sums = (await rig.shell(`cd /work && sha256sum ${names.join(" ")} && rm ${names.join(" ")}`)).trim();
    expect(sums.split("\n").map((line) => line.split(" ")[0])).to.deep.equal(names.map(() => sum));
    expect(await rig.box.listShared()).to.deep.equal(before);
  });

  it("of two writers of one file one wins, whole", async () => {
    const content = (letter: string): Buffer => Buffer.alloc(3 * mib, letter);
    await Promise.all(["a", "b", "c"].map((letter) => rig.write("won", content(letter))));
    const text = await rig.text("won");
    expect(text.length).to.equal(3 * mib);
    expect(text).to.equal((text[0] ?? "").repeat(3 * mib));
    expect((await rig.names("/work")).filter((name) => name.startsWith(".a3s"))).to.deep.equal([]);
  });

  it("leaves nothing of an upload that is given up, that fails, or whose connection is cut", async () => {
    await rig.shell("mkdir /work/cut; echo before > /work/cut/file");
    const begun = new AbortController();
    const shared = await rig.box.listShared();
    async function* halves(end: () => void): AsyncGenerator<Uint8Array, void> {
      yield Buffer.alloc(3 * mib);
      await eventually("the first half is there", 20_000, async () => (await rig.names("cut")).length === 2);
      end();
      yield Buffer.alloc(3 * mib);
    }
    const write = (end: () => void, signal = second()) =>
      code(rig.files.write("cut/file", asRoot, halves(end), { parents: false }, signal));
    const ends = [
      () =>
        write(() => {
          begun.abort();
        }, begun.signal),
      () =>
        write(() => {
          throw new RuntimeError("invalidArgument", "a body that ends badly");
        }),
      () =>
        write(() => {
          rig.box.agent.hangUp();
        }),
    ];
    for (const end of ends) {
      expect(await end()).to.not.equal("success");
      await eventually("nothing is left", 20_000, async () => (await rig.names("cut")).length === 1);
      expect(await rig.text("cut/file")).to.equal("before\n");
      expect(await rig.box.listShared()).to.deep.equal(shared);
    }
  });

  it("a read whose connection is cut fails", async () => {
    await rig.write("long", Buffer.alloc(8 * mib));
    const body = await rig.files.read("long", asRoot, { offset: 0 }, second());
    rig.box.agent.hangUp();
    expect(await code(all(body))).to.equal("unavailable");
  });

  it("a full disk is resourceExhausted, and nothing is left", async () => {
    const shared = await rig.box.listShared();
    for (const bytes of [2 * mib, 12 * mib]) {
      expect(await code(rig.write("/small/big", Buffer.alloc(bytes)))).to.equal("resourceExhausted");
    }
    expect(await rig.box.listShared()).to.deep.equal(shared);
    await eventually("nothing is left", 20_000, async () => (await rig.names("/small")).length === 0);
    await rig.write("/small/fits", "small");
    expect(await rig.text("/small/fits")).to.equal("small");
  });

  it("lists names that are no UTF-8 with U+FFFD", async () => {
    await rig.shell("mkdir /work/odd; printf x > \"/work/odd/$(printf 'a\\377b')\"; echo 1 > '/work/odd/ä b\n'");
    expect(await rig.names("odd")).to.deep.equal(["a\uFFFDb", "ä b\n"]);
    expect(await rig.text("odd/ä b\n")).to.equal("1\n");
    expect(await code(rig.files.stat("odd/a\uFFFDb", asRoot, false, second()))).to.equal("notFound");
  });

  it("lets no path out of the scope's root, whatever leads there", async () => {
    await rig.shell(
      "mkdir -p /work/in /secret; echo s > /secret/file; ln -s /secret /work/out; ln -s ../secret/file /work/file",
    );
    await rig.shell("ln -s /work/in /work/back; ln -s /secret/new /work/new; ln -s /proc/1/root /work/magic");
    for (const path of ["/secret/file", "../secret/file", "out/file", "file", "in/../../secret/file"]) {
      expect(await code(rig.files.read(path, inWork, { offset: 0 }, second())), path).to.equal("permissionDenied");
      expect(await code(rig.write(path, "x", inWork)), path).to.equal("permissionDenied");
      expect(await code(rig.files.stat(path, inWork, true, second())), path).to.equal("permissionDenied");
    }
    for (const path of ["out", "..", "../..", "/"]) {
      expect(await code(rig.files.list(path, inWork, { depth: 1, limit: 9 }, second())), path).to.equal(
        "permissionDenied",
      );
      expect(await code(rig.files.watch(path, inWork, true, second())), path).to.equal("permissionDenied");
    }
    expect(await code(rig.write("new", "x", inWork))).to.equal("permissionDenied");
    expect(await code(rig.write("out/a/b/c", "x", inWork))).to.equal("permissionDenied");
    expect(await code(rig.files.move("in", "out/in", inWork, second()))).to.equal("permissionDenied");
    expect(await code(rig.files.remove("out/file", inWork, true, second()))).to.equal("permissionDenied");
    expect(await code(rig.files.read("magic/secret/file", inWork, { offset: 0 }, second()))).to.equal(
      "invalidArgument",
    );
    expect(await rig.shell("ls /secret")).to.equal("file\n");
    await rig.write("back/inside", "x", inWork);
    expect((await rig.files.list(".", inWork, { depth: 1, limit: 99 }, second())).directory.path).to.equal("/work");
    await rig.files.remove("out", inWork, true, second());
    expect(await rig.shell("cat /secret/file")).to.equal("s\n");
  });

  it("waits for no FIFO or device, and reads what /proc has as files", async () => {
    await rig.shell("mkfifo /work/fifo; mknod /dev/device c 1 3; mknod /dev/disk b 7 0");
    for (const path of ["fifo", "/dev/device", "/dev/disk", "/proc", "/proc/self/fd/0"]) {
      const told = await code(rig.files.read(path, asRoot, { offset: 0 }, second()));
      expect(told, path).to.be.oneOf(["invalidArgument", "notFound"]);
    }
    for (const path of ["fifo", "/dev/device", "/dev/disk"]) {
      expect(await code(rig.write(path, "x")), path).to.equal("invalidArgument");
      expect((await rig.files.stat(path, asRoot, true, second())).kind).to.equal("other");
    }
    expect(await rig.text("/proc/1/comm")).to.equal("sleep\n");
  });

  it("a user may what the kernel lets it, begins at home, and others are named", async () => {
    const mine = await rig.write("notes.txt", "mine", asMe);
    expect(mine).to.include({ path: "/home/me/notes.txt", uid: 1000, gid: 1000, owner: "me", group: "me" });
    expect((await rig.write("~/x/y", "mine", asMe)).path).to.equal("/home/me/x/y");
    expect((await rig.files.stat("x", asMe, false, second())).owner).to.equal("me");
    await rig.shell("echo s > /etc/secret; chmod 600 /etc/secret; echo w > /tmp/theirs; chmod 644 /tmp/theirs");
    expect(await code(rig.text("/etc/secret", asMe))).to.equal("permissionDenied");
    expect(await code(rig.write("/etc/new", "x", asMe))).to.equal("permissionDenied");
    expect(await code(rig.write("/tmp/theirs", "x", asMe))).to.equal("permissionDenied");
    expect(await code(rig.files.remove("/tmp/theirs", asMe, false, second()))).to.equal("permissionDenied");
    expect(await code(rig.files.move("/tmp/theirs", "/tmp/mine", asMe, second()))).to.equal("permissionDenied");
    expect(await rig.text("/tmp/theirs", asMe)).to.equal("w\n");
    expect(await code(rig.text("/tmp/theirs", { user: "nobody-there" }))).to.equal("invalidArgument");
    expect((await rig.write("/tmp/by-id", "x", { user: "1234:77" })).gid).to.equal(77);
  });

  it("what works on files is in no sight of the container's processes, and has no more rights than its root", async () => {
    await rig.write("seen", "x");
    expect(await rig.shell("ps | grep -c -v -e sleep -e ps -e grep -e sh -e PID || true")).to.equal("0\n");
    // CAP_NET_ADMIN and CAP_SYS_RESOURCE are not the container's
    expect(await code(rig.write("/proc/sys/kernel/hostname", "x"))).to.not.equal("success");
  });

  it("tells what changes below a directory, with directories that come later", async () => {
    await rig.shell("mkdir -p /work/w/old; echo 1 > /work/w/old/file");
    const stop = new AbortController();
    const events: FileEvent[] = [];
    const watch = await rig.files.watch("w", asRoot, true, stop.signal);
    const reading = (async () => {
      for await (const event of watch) events.push(event);
    })();
    reading.catch(() => undefined); // its end is looked at last
    await rig.shell("cd /work/w; echo 2 >> old/file; mkdir new; echo 1 > new/a; mv new/a b; chmod 600 b; rm b");
    const told = (kind: FileEvent["kind"], path: string): boolean =>
      events.some((event) => event.kind === kind && event.path === path);
    await eventually("all is told", 20_000, () =>
      Promise.resolve(
        told("write", "old/file") &&
          told("create", "new") &&
          told("create", "new/a") &&
          told("rename", "new/a") &&
          told("create", "b") &&
          told("chmod", "b") &&
          told("remove", "b"),
      ),
    );
    await rig.shell("rm -r /work/w");
    expect(await code(reading)).to.equal("notFound");
    expect(await code(rig.files.watch("w", asRoot, true, stop.signal))).to.equal("notFound");
  });

  it("a process of the container that swaps directories for links gets nothing written outside", async () => {
    await rig.shell("mkdir -p /work/race/dir /outside; chmod -R 777 /work/race /outside");
    const swap = "while :; do mv dir kept; ln -s /outside dir; rm dir; mv kept dir; done";
    const racing = rig.shell(`cd /work/race; timeout 4 busybox sh -c '${swap}' || true`);
    const raced = { done: false };
    void racing.finally(() => {
      raced.done = true;
    });
    const ends: Record<string, number> = {};
    for (let turn = 0; !raced.done; turn += 1) {
      const told = await code(rig.write(`race/dir/${String(turn)}`, "x", inWork));
      ends[told] = (ends[told] ?? 0) + 1;
      const made = await code(rig.files.makeDirectory(`race/dir/d/${String(turn)}`, inWork, 0o755, second()));
      ends[made] = (ends[made] ?? 0) + 1;
    }
    await racing;
    globalThis.process.stdout.write(`      (${JSON.stringify(ends)})\n`);
    expect(await rig.shell("ls -A /outside")).to.equal("");
  });

  it("small calls cost no more than an exec", async () => {
    const times = async (work: () => Promise<unknown>): Promise<number> => {
      const all: number[] = [];
      for (let turn = 0; turn < 11; turn += 1) {
        const startedMs = performance.now();
        await work();
        all.push(performance.now() - startedMs);
      }
      return all.sort((a, b) => a - b)[5] ?? 0;
    };
    const content = Buffer.alloc(1024);
    const filesMs = await times(async () => {
      await rig.write("small", content);
      await rig.text("small");
    });
    const execMs = await times(() => rig.shell("true"));
    globalThis.process.stdout.write(
      `      (write and read of 1 KiB ${filesMs.toFixed(1)} ms, exec ${execMs.toFixed(1)} ms)\n`,
    );
    expect(filesMs).to.be.below(execMs * 3);
  });

  it("what works on files ends with the container", async () => {
    const watch = await rig.files.watch("/work", asRoot, false, second());
    await rig.kill();
    const first = watch[Symbol.asyncIterator]().next();
    expect(await code(first)).to.equal("failedPrecondition");
    expect(await code(rig.files.stat("/work", asRoot, true, second()))).to.equal("failedPrecondition");
  });
});
