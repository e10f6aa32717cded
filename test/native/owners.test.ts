/** Mounts that show the owners of a file server's user namespace: what is done in them, and what then lies on the disk. */
import { expect } from "chai";
import { execFileSync } from "node:child_process";
import { chown, mkdir, readFile, readdir, stat, writeFile } from "node:fs/promises";
import { movedRoot } from "../../src/vmm/box-ids.js";
import { probeOwners, type OwnersVerdict, type ProbedDirectories } from "../../src/vmm/share/probe-owners.js";
import { Scratch, failure, native, plain } from "./scratch.js";

const root = 3_000_000_000;
const ids = movedRoot(root);

/** cap_net_bind_service=ep */
const capability = "0100000200040000000000000000000000000000";

/** What a file server does for its guest's root, in a merged overlay; each line of output is a fact. */
const operations = `
import ctypes, errno, os, stat, sys
os.chdir(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
def say(what, value): print(what, value)
def refused(what, call):
    try: call(); say(what, "done")
    except OSError as e: say(what, errno.errorcode[e.errno])
say("root's file of a layer", "%d %o" % (os.stat("low").st_uid, os.stat("low").st_mode & 0o7777))
open("low", "a").write("more")                      # copied up
os.chown("low", 1000, 70000)
os.chmod("low", 0o4755)
with open("low", "a") as file: file.write("by root")
say("its mode after root has written", "%o" % (os.stat("low").st_mode & 0o7777))
os.chmod("low", 0o4755)
open("new", "w").write("x")
os.chown("new", 2000000000, 0)
cap = bytes.fromhex("${capability}")
os.setxattr("program", "security.capability", cap)
say("its capability", os.getxattr("program", "security.capability").hex())
os.setxattr("new", "user.key", b"value")
fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o640)
os.write(fd, b"unnamed")
os.link("/proc/self/fd/%d" % fd, "tmpfile", src_dir_fd=0, follow_symlinks=True)
os.link("new", "link")
os.rename("new", "renamed")
say("exchange", libc.renameat2(-100, b"renamed", -100, b"tmpfile", 2))
os.unlink("gone")
for name in os.listdir("directory"): os.unlink("directory/" + name)
os.rmdir("directory"); os.mkdir("directory"); open("directory/only", "w").close()
os.mkfifo("fifo")
os.symlink("nowhere", "symbolic")
refused("a device", lambda: os.mknod("device", stat.S_IFBLK | 0o600, os.makedev(8, 0)))
refused("a whiteout", lambda: os.mknod("white", stat.S_IFCHR | 0o600, os.makedev(0, 0)))
refused("its own id", lambda: os.chown("fifo", ${root}, -1))
os.setresuid(-1, 1000, -1)
refused("another user in root's directory", lambda: open("others", "w"))
refused("that user's own file", lambda: open("low", "a"))
`;

/** As root of that namespace, in the mounts of this process. */
async function inside(program: string, ...args: string[]): Promise<string> {
  const fd = await native.openUserNamespace(ids);
  try {
    const line = ["--user=/proc/self/fd/3", "--setuid=0", "--setgid=0", "python3", "-c", program, ...args];
    return execFileSync("nsenter", line, { stdio: ["ignore", "pipe", "inherit", fd], encoding: "utf8" });
  } finally {
    await native.closeFd(fd);
  }
}

async function onDisk(path: string): Promise<string> {
  const { uid, gid, mode } = await stat(path);
  return `${uid}:${gid} ${(mode & 0o7777).toString(8)}`;
}

describe("an overlay of which all layers show a namespace's owners", () => {
  async function prepared(
    scratch: Scratch,
    names = ["upper", "work"],
  ): Promise<Parameters<typeof native.mountOverlay>[0]> {
    for (const name of ["lower", "lower/directory", "merged", ...names])
      await mkdir(scratch.in(name), { recursive: true });
    for (const name of ["low", "gone", "program", "directory/old"]) await writeFile(scratch.in(`lower/${name}`), name);
    const [upper = "", work = ""] = names;
    const parts = { lowers: [scratch.in("lower")], upper: scratch.in(upper), work: scratch.in(work) };
    return { ...parts, target: scratch.in("merged"), flags: plain, index: true, ids, mapsUpper: true };
  }

  it("does all that the namespace's root asks for but devices, and has the real owners on the disk", async () => {
    await using scratch = await Scratch.make();
    await native.mountOverlay(await prepared(scratch));
    const said = (await inside(operations, scratch.in("merged"))).trim().split("\n");
    expect(said).to.deep.equal([
      "root's file of a layer 0 644",
      "its mode after root has written 755", // CAP_FSETID counts in the host's namespace alone
      `its capability ${capability}`,
      "exchange 0",
      "a device EPERM",
      "a whiteout EPERM", // through an overlay; overlayfs makes its own
      "its own id EINVAL",
      "another user in root's directory EACCES",
      "that user's own file done",
    ]);
    const upper = (name: string): string => scratch.in(`upper/${name}`);
    expect(await onDisk(upper("low"))).to.equal("1000:70000 4755");
    expect(await onDisk(upper("tmpfile"))).to.equal("2000000000:0 644");
    expect(await onDisk(upper("renamed"))).to.equal("0:0 640");
    expect(await onDisk(upper("directory/only"))).to.equal("0:0 644");
    expect((await stat(upper("link"))).ino).to.equal((await stat(upper("tmpfile"))).ino);
    expect((await stat(upper("gone"))).rdev).to.equal(0);
    // Version 3 on the disk, with the host's root: the kernel tells it as version 2 (capabilities(7)).
    const read = `import os; print(os.getxattr("${upper("program")}", "security.capability").hex())`;
    expect(execFileSync("python3", ["-c", read], { encoding: "utf8" })).to.equal(`${capability}\n`);
    expect(await readFile(scratch.in("lower/low"), "utf8")).to.equal("low");
    expect(await readdir(scratch.in("merged/directory"))).to.deep.equal(["only"]);
  });

  it("is read by the host's root, who can make nothing in it", async () => {
    await using scratch = await Scratch.make();
    await native.mountOverlay(await prepared(scratch));
    expect(await readFile(scratch.in("merged/low"), "utf8")).to.equal("low");
    expect((await stat(scratch.in("merged/low"))).uid).to.equal(root);
    expect(await failure(() => writeFile(scratch.in("merged/new"), ""))).to.include({ code: "EOVERFLOW" });
  });

  it("leaves the thread that mounted it as it was, and nothing behind of an overlay that can't be", async () => {
    await using scratch = await Scratch.make();
    const parts = await prepared(scratch);
    const threads = async (): Promise<string> => {
      const all = await Promise.all(
        (await readdir("/proc/self/task")).map((id) => readFile(`/proc/self/task/${id}/status`, "utf8")),
      );
      return [...new Set(all.flatMap((text) => text.match(/^(Uid|Gid|CapEff):.*$/gm) ?? []))].sort().join("\n");
    };
    const before = await threads();
    await native.mountOverlay(parts);
    await native.unmount(parts.target, false);
    expect(await threads()).to.equal(before);
    await mkdir(scratch.in("apart/work"), { recursive: true });
    const apart = { ...parts, work: scratch.in("apart/work") };
    expect(await failure(() => native.mountOverlay(apart))).to.include({ code: "EINVAL" });
    const noRoot = { ...parts, ids: { extents: [{ inside: 1, outside: 1, count: 9 }] } };
    expect(await failure(() => native.mountOverlay(noRoot))).to.include({ code: "EINVAL" });
    expect(await readdir(scratch.in("merged"))).to.deep.equal([]);
  });

  it("opens for its disk what an upper of another owner has: format and owners are those of an overlay without", async () => {
    await using scratch = await Scratch.make();
    const parts = await prepared(scratch);
    const { ids: _ids, mapsUpper: _mapsUpper, ...unmapped } = parts;
    await native.mountOverlay(unmapped);
    await writeFile(scratch.in("merged/before"), "");
    await chown(scratch.in("merged/before"), 1000, 0);
    await native.unmount(parts.target, false);
    await native.mountOverlay(parts);
    expect(
      await inside(
        `import os; print(os.stat("${scratch.in("merged/before")}").st_uid); open("${scratch.in("merged/after")}", "w")`,
      ),
    ).to.equal("1000\n");
    await native.unmount(parts.target, false);
    await native.mountOverlay(unmapped);
    expect(await onDisk(scratch.in("merged/after"))).to.equal("0:0 644");
  });
});

describe("whether owners can be mapped", () => {
  const probe = async (scratch: Scratch, over: Partial<ProbedDirectories> = {}): Promise<OwnersVerdict> => {
    for (const name of ["state", "layers"]) await mkdir(scratch.in(name), { recursive: true });
    const directories = { state: scratch.in("state"), layers: scratch.in("layers") };
    const verdict = await probeOwners({ native, ...directories, name: "probe", ...over });
    expect(await readdir(directories.state)).to.deep.equal([]);
    expect(await readdir(directories.layers)).to.deep.equal([]);
    return verdict;
  };

  it("is tried with all that a Box needs, also where a daemon was killed while it tried, and leaves nothing", async () => {
    await using scratch = await Scratch.make();
    await mkdir(scratch.in("state/probe/from"), { recursive: true });
    await native.mountTmpfs(scratch.in("state/probe/from"), 1 << 16, 0o700);
    expect(await probe(scratch)).to.deep.equal({ mapped: true });
  });

  for (const [directory, what] of [
    ["state", /does not map the owners of the file system of .*state: EINVAL/],
    ["layers", /does not map the owners of containers' trees in .*layers: E[A-Z]+/],
  ] as const) {
    it(`is answered with what can't be: ${directory} on a file system without`, async () => {
      await using scratch = await Scratch.make();
      await mkdir(scratch.in(directory));
      execFileSync("mount", ["-t", "ramfs", "none", scratch.in(directory)]);
      const verdict = await probe(scratch);
      expect(verdict).to.have.property("mapped", false);
      expect(verdict).to.have.property("why").that.matches(what);
    });
  }

  it("is answered with the setting, where no user namespace can be had", async () => {
    await using scratch = await Scratch.make();
    const none = Object.assign(new Error("ENOSPC: clone user namespace"), { code: "ENOSPC" });
    const without = { ...native, openUserNamespace: () => Promise.reject(none) };
    const verdict = await probe(scratch, { native: without });
    expect(verdict)
      .to.have.property("why")
      .that.matches(/user\.max_user_namespaces.*ENOSPC/);
  });
});
