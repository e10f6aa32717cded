import { expect } from "chai";
import { constants } from "node:fs";
import { link, lstat, mkdir, readFile, readdir, symlink, truncate, writeFile } from "node:fs/promises";
import { Scratch, failure, native, plain, run, shell } from "./scratch.js";

const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL } = constants;

describe("openIn", () => {
  it("opens what lies below the root and refuses every way out", async () => {
    await using scratch = await Scratch.make();
    await mkdir(scratch.in("root/sub"), { recursive: true });
    await writeFile(scratch.in("root/sub/f"), "inside");
    await writeFile(scratch.in("secret"), "outside");
    await symlink("/secret", scratch.in("root/absolute"));
    await symlink("../secret", scratch.in("root/up"));
    await symlink("/sub/f", scratch.in("root/inner"));
    await symlink(`/proc/self/root${scratch.in("secret")}`, scratch.in("root/magic"));
    const root = scratch.in("root");
    const beneath = (path: string) => native.openIn(root, path, O_RDONLY, 0, "beneath");
    const inRoot = (path: string) => native.openIn(root, path, O_RDONLY, 0, "inRoot");
    await native.closeFd(await beneath("sub/f"));
    for (const path of ["../secret", "absolute", "up", "inner", "/etc/passwd", "sub/../../secret", "magic"]) {
      expect(await failure(() => beneath(path)), path).to.include({ code: "EXDEV" });
    }
    for (const path of ["../secret", "absolute", "up", "magic"]) {
      expect(await failure(() => inRoot(path)), path).to.include({ code: "ENOENT" });
    }
    const fd = await inRoot("inner");
    expect(await readFile(`/proc/self/fd/${fd}`, "utf8")).to.equal("inside");
    await native.closeFd(fd);
    const made = await native.openIn(root, "new", O_WRONLY | O_CREAT | O_EXCL, 0o640, "beneath");
    await native.closeFd(made);
    expect((await lstat(scratch.in("root/new"))).mode & 0o777).to.equal(0o640);
  });

  it("refuses a name with a NUL in it, which would be another name", async () => {
    let message = "";
    try {
      await native.openIn("/", "etc\0x", O_RDONLY, 0, "beneath");
    } catch (thrown) {
      message = String(thrown);
    }
    expect(message).to.match(/argument 2/);
  });
});

describe("removeTree", () => {
  it("removes links and not what they point to", async () => {
    await using scratch = await Scratch.make();
    await mkdir(scratch.in("tree/sub"), { recursive: true });
    await mkdir(scratch.in("kept"));
    await writeFile(scratch.in("kept/f"), "");
    await symlink("../kept", scratch.in("tree/link"));
    await symlink(scratch.in("kept"), scratch.in("tree/sub/link"));
    await symlink("kept", scratch.in("top"));
    await native.removeTree(scratch.in("tree"));
    await native.removeTree(scratch.in("top"));
    await native.removeTree(scratch.in("none"));
    await native.removeTree(scratch.in("none/none"));
    expect(await readdir(scratch.path)).to.deep.equal(["kept"]);
    expect(await readdir(scratch.in("kept"))).to.deep.equal(["f"]);
  });

  it("stops at a mount, a bind of the same file system too, and touches nothing behind it", async () => {
    await using scratch = await Scratch.make();
    await mkdir(scratch.in("tree/volume"), { recursive: true });
    await mkdir(scratch.in("kept"));
    await writeFile(scratch.in("kept/f"), "");
    await native.bindMount(scratch.in("kept"), scratch.in("tree/volume"), false, plain);
    const error = await failure(() => native.removeTree(scratch.in("tree")));
    expect(error).to.include({ code: "EBUSY", path: scratch.in("tree/volume") });
    expect(await failure(() => native.removeTree(scratch.in("tree/volume")))).to.include({ code: "EBUSY" });
    expect(await readdir(scratch.in("kept"))).to.deep.equal(["f"]);
  });

  it("removes a tree that is deeper than the longest path and than the descriptors allowed", async () => {
    await using scratch = await Scratch.make();
    const deep = `i=0; while [ $i -lt 1500 ]; do mkdir d other; : > d/file; cd d; i=$((i+1)); done`;
    await mkdir(scratch.in("tree"));
    expect(await run(shell(deep, { cwd: scratch.in("tree") }))).to.include({ code: 0 });
    expect((await native.treeUsage(scratch.in("tree"))).inodes).to.equal(4501n);
    await native.removeTree(scratch.in("tree"));
    expect(await readdir(scratch.path)).to.deep.equal([]);
  }).timeout(30_000);

  it("removes a directory of many entries", async () => {
    await using scratch = await Scratch.make();
    await mkdir(scratch.in("tree"));
    const many = `seq 1 5000 | sed s/^/f/ | xargs touch; seq 1 3000 | sed s/^/d/ | xargs mkdir`;
    expect(await run(shell(many, { cwd: scratch.in("tree") }))).to.include({ code: 0 });
    expect((await native.treeUsage(scratch.in("tree"))).inodes).to.equal(8001n);
    await native.removeTree(scratch.in("tree"));
    expect(await readdir(scratch.path)).to.deep.equal([]);
  });
});

describe("treeUsage", () => {
  it("counts blocks and inodes, hard links once, links not followed, other mounts not at all", async () => {
    await using scratch = await Scratch.make();
    await mkdir(scratch.in("tree/sub/mount"), { recursive: true });
    await writeFile(scratch.in("tree/f"), Buffer.alloc(8192, 1));
    await link(scratch.in("tree/f"), scratch.in("tree/sub/g"));
    await truncate(scratch.in("tree/f"), 1 << 30);
    await symlink("/", scratch.in("tree/link"));
    await native.mountTmpfs(scratch.in("tree/sub/mount"), 1 << 20, 0o755);
    await writeFile(scratch.in("tree/sub/mount/x"), Buffer.alloc(4096, 1));
    const usage = await native.treeUsage(scratch.in("tree"));
    expect(usage).to.deep.equal({ bytes: 8192n, inodes: 4n });
    expect((await native.treeUsage(scratch.in("tree/sub/mount"))).inodes).to.equal(2n);
    expect(await failure(() => native.treeUsage(scratch.in("none")))).to.include({ code: "ENOENT" });
  });

  it("ends when it is told that nobody waits for it any more", async () => {
    await using scratch = await Scratch.make();
    await mkdir(scratch.in("tree/sub"), { recursive: true });
    const stop = new Int32Array(1);
    expect(await native.treeUsage(scratch.in("tree"), stop)).to.have.property("inodes", 2n);
    Atomics.store(stop, 0, 1);
    expect(await failure(() => native.treeUsage(scratch.in("tree"), stop))).to.include({ code: "ECANCELED" });
  });
});
