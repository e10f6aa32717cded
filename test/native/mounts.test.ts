import { expect } from "chai";
import { constants } from "node:fs";
import { access, lstat, mkdir, readFile, readdir, symlink, writeFile } from "node:fs/promises";
import { Scratch, failure, native, plain, run, shell } from "./scratch.js";

async function mountLine(path: string): Promise<string | undefined> {
  const text = await readFile("/proc/self/mountinfo", "utf8");
  return text.split("\n").find((line) => line.split(" ")[4] === path);
}

describe("mounts of the addon", () => {
  it("bind a directory with its flags, and only that mount", async () => {
    await using scratch = await Scratch.make();
    await mkdir(scratch.in("from"));
    await mkdir(scratch.in("to"));
    await writeFile(scratch.in("from/file"), "seen");
    await native.bindMount(scratch.in("from"), scratch.in("to"), false, { readonly: true, nosuid: true, nodev: true });
    expect(await readFile(scratch.in("to/file"), "utf8")).to.equal("seen");
    expect(await mountLine(scratch.in("to"))).to.match(/ ro,nosuid,nodev/);
    await writeFile(scratch.in("from/other"), "");
    expect(await failure(() => writeFile(scratch.in("to/other"), ""))).to.include({ code: "EROFS" });
  });

  it("bind a file on a file", async () => {
    await using scratch = await Scratch.make();
    await writeFile(scratch.in("a"), "new");
    await writeFile(scratch.in("b"), "old");
    await native.bindMount(scratch.in("a"), scratch.in("b"), false, plain);
    expect(await readFile(scratch.in("b"), "utf8")).to.equal("new");
    await native.unmount(scratch.in("b"), true);
    expect(await readFile(scratch.in("b"), "utf8")).to.equal("old");
  });

  it("refuse a link as the target, a directory on a file and a source that is not there, and leave nothing", async () => {
    await using scratch = await Scratch.make();
    await mkdir(scratch.in("directory"));
    await writeFile(scratch.in("file"), "");
    await symlink("directory", scratch.in("link"));
    const bind = (from: string, to: string) => native.bindMount(scratch.in(from), scratch.in(to), true, plain);
    expect(await failure(() => bind("directory", "link"))).to.include({ code: "ELOOP", path: scratch.in("link") });
    expect(await failure(() => bind("directory", "file"))).to.include({ code: "ENOTDIR", path: scratch.in("file") });
    expect(await failure(() => bind("none", "directory"))).to.include({ code: "ENOENT", path: scratch.in("none") });
    expect(await mountLine(scratch.in("directory"))).to.equal(undefined);
  });

  it("carry submounts along only when recursive", async () => {
    await using scratch = await Scratch.make();
    for (const name of ["from", "from/sub", "flat", "deep"]) await mkdir(scratch.in(name));
    await native.mountTmpfs(scratch.in("from/sub"), 1 << 20, 0o700);
    await writeFile(scratch.in("from/sub/x"), "");
    await native.bindMount(scratch.in("from"), scratch.in("flat"), false, plain);
    await native.bindMount(scratch.in("from"), scratch.in("deep"), true, plain);
    expect(await readdir(scratch.in("flat/sub"))).to.deep.equal([]);
    expect(await readdir(scratch.in("deep/sub"))).to.deep.equal(["x"]);
  });

  it("leave the source's submounts alone when unmounted", async () => {
    await using scratch = await Scratch.make();
    for (const name of ["from", "from/sub", "to"]) await mkdir(scratch.in(name));
    await native.bindMount(scratch.in("from"), scratch.in("from"), false, plain);
    await native.setPropagation(scratch.in("from"), "shared", false);
    await native.mountTmpfs(scratch.in("from/sub"), 1 << 20, 0o700);
    await native.bindMount(scratch.in("from"), scratch.in("to"), true, plain);
    await native.unmount(scratch.in("to"), true);
    expect(await mountLine(scratch.in("from/sub"))).to.be.a("string");
  });

  it("become read-only and writable again", async () => {
    await using scratch = await Scratch.make();
    await mkdir(scratch.in("m"));
    await native.bindMount(scratch.in("m"), scratch.in("m"), false, plain);
    await native.setReadonly(scratch.in("m"), true);
    expect(await failure(() => writeFile(scratch.in("m/x"), ""))).to.include({ code: "EROFS" });
    await native.setReadonly(scratch.in("m"), false);
    await writeFile(scratch.in("m/x"), "");
  });

  it("give a tmpfs its size and mode", async () => {
    await using scratch = await Scratch.make();
    await mkdir(scratch.in("t"));
    await native.mountTmpfs(scratch.in("t"), 1 << 20, 0o710);
    expect((await lstat(scratch.in("t"))).mode & 0o7777).to.equal(0o710);
    expect(await failure(() => writeFile(scratch.in("t/big"), Buffer.alloc(2 << 20)))).to.include({ code: "ENOSPC" });
  });

  it("guard a tmpfs: its owner, how many files fit, links in it that lead nowhere, nothing to execute", async () => {
    await using scratch = await Scratch.make();
    await mkdir(scratch.in("t"));
    const more = { maxInodes: 4, owner: 4711, noexec: true, nosymfollow: true };
    await native.mountTmpfs(scratch.in("t"), 1 << 16, 0o700, more);
    expect(await lstat(scratch.in("t"))).to.include({ uid: 4711, gid: 4711 });
    await writeFile(scratch.in("outside"), "");
    await symlink(scratch.in("outside"), scratch.in("t/link"));
    expect(await failure(() => readFile(scratch.in("t/link")))).to.include({ code: "ELOOP" });
    await writeFile(scratch.in("t/program"), "#!/bin/sh\n", { mode: 0o755 });
    expect(await failure(() => access(scratch.in("t/program"), constants.X_OK))).to.include({ code: "EACCES" });
    await writeFile(scratch.in("t/last"), "");
    expect(await failure(() => writeFile(scratch.in("t/more"), ""))).to.include({ code: "ENOSPC" });
    expect(() => native.mountTmpfs(scratch.in("t"), 1, 0o700, { ...more, maxInodes: 0 })).to.throw(TypeError);
  });

  it("call it success to unmount what is not mounted or not there", async () => {
    await using scratch = await Scratch.make();
    await mkdir(scratch.in("m"));
    await native.unmount(scratch.in("m"), false);
    await native.unmount(scratch.in("none"), true);
  });

  it("reach a process in a mount namespace of its own when made below a shared mount", async () => {
    await using scratch = await Scratch.make();
    for (const name of ["share", "share/late", "from"]) await mkdir(scratch.in(name));
    await writeFile(scratch.in("from/x"), "");
    await native.bindMount(scratch.in("share"), scratch.in("share"), false, plain);
    await native.setPropagation(scratch.in("share"), "shared", false);
    await run(shell(`mkfifo ${scratch.in("go")} ${scratch.in("up")}`));
    const command = `echo > ${scratch.in("up")}; read line < ${scratch.in("go")}; test -e ${scratch.in("share/late/x")}`;
    const ended = run(shell(command, { newMountNamespace: true }));
    await readFile(scratch.in("up"));
    await native.bindMount(scratch.in("from"), scratch.in("share/late"), false, plain);
    await writeFile(scratch.in("go"), "now\n");
    expect(await ended).to.deep.equal({ code: 0, signal: null });
  });
});

describe("overlays of the addon", () => {
  const flags = { readonly: false, nosuid: true, nodev: true };

  it("merge lowers, uppermost first, and write to the upper", async () => {
    await using scratch = await Scratch.make();
    for (const name of ["low", "high", "upper", "work", "merged"]) await mkdir(scratch.in(name));
    await writeFile(scratch.in("low/f"), "low");
    await writeFile(scratch.in("high/f"), "high");
    await native.mountOverlay({
      lowers: [scratch.in("high"), scratch.in("low")],
      upper: scratch.in("upper"),
      work: scratch.in("work"),
      target: scratch.in("merged"),
      flags,
      index: true,
    });
    expect(await readFile(scratch.in("merged/f"), "utf8")).to.equal("high");
    await writeFile(scratch.in("merged/new"), "");
    expect(await readdir(scratch.in("upper"))).to.deep.equal(["new"]);
    expect(await mountLine(scratch.in("merged"))).to.match(/ rw,nosuid,nodev.*index=on/);
  });

  for (const count of [120, 400]) {
    it(`take ${count} lowers of long names`, async () => {
      await using scratch = await Scratch.make();
      const lowers: string[] = [];
      for (let i = 0; i < count; i++) {
        const lower = scratch.in(String(i).padStart(64, "0"));
        await mkdir(lower);
        await writeFile(`${lower}/file-${i}`, "");
        lowers.push(lower);
      }
      for (const name of ["upper", "work", "merged"]) await mkdir(scratch.in(name));
      const [upper, work, target] = [scratch.in("upper"), scratch.in("work"), scratch.in("merged")];
      await native.mountOverlay({ lowers, upper, work, target, flags, index: true });
      expect(await readdir(target)).to.have.length(count);
      expect(await mountLine(target)).to.match(/ rw,nosuid,nodev/);
    });
  }

  it("take names with the characters that mount options give a meaning", async () => {
    await using scratch = await Scratch.make();
    const lowers = ["a:b", "c,d", "e\\f", 'g"h'].map((name) => scratch.in(name));
    for (const [i, lower] of lowers.entries()) {
      await mkdir(lower);
      await writeFile(`${lower}/${i}`, "");
    }
    await mkdir(scratch.in("merged"));
    await native.mountOverlay({ lowers, upper: null, work: null, target: scratch.in("merged"), flags, index: false });
    expect((await readdir(scratch.in("merged"))).sort()).to.deep.equal(["0", "1", "2", "3"]);
  });

  it("refuse no lowers, and say which directory is missing", async () => {
    await using scratch = await Scratch.make();
    await mkdir(scratch.in("merged"));
    const mount = (lowers: string[]) =>
      native.mountOverlay({ lowers, upper: null, work: null, target: scratch.in("merged"), flags, index: false });
    expect(await failure(() => mount([]))).to.include({ code: "EINVAL", syscall: "mount" });
    expect(await failure(() => mount([scratch.in("a:none"), scratch.path]))).to.include({ path: scratch.in("a:none") });
  });
});
