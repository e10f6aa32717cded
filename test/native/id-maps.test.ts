/** Owners as a user namespace has them: in mounts, and of a network namespace. */
import { execFileSync } from "node:child_process";
import { expect } from "chai";
import { chown, mkdir, readFile, readdir, stat, writeFile } from "node:fs/promises";
import { Scratch, failure, native, plain } from "./scratch.js";

const ids = { uids: { first: 70_000, count: 1_000 }, gids: { first: 80_000, count: 1_000 } };
const nobody = 65_534;
/** An id that is root of the namespace below, and the namespace's own of that number is nobody. */
const moved = 2_147_483_700;
const hole = {
  extents: [
    { inside: 0, outside: moved, count: 1 },
    { inside: 1, outside: 1, count: moved - 1 },
    { inside: moved + 1, outside: moved + 1, count: 4_294_967_294 - moved },
  ],
};

async function ownerOf(path: string): Promise<[number, number]> {
  const { uid, gid } = await stat(path);
  return [uid, gid];
}

/** Processes and mounts of this process that were not there before. */
async function expectNothingLeft(work: () => Promise<void>): Promise<void> {
  const children = async (): Promise<string> => {
    const threads = await readdir("/proc/self/task");
    const lists = threads.map((thread) => readFile(`/proc/self/task/${thread}/children`, "utf8").catch(() => ""));
    return (await Promise.all(lists)).join("");
  };
  const mounts = async (): Promise<number> => (await readFile("/proc/self/mountinfo", "utf8")).split("\n").length;
  const before = [await children(), await mounts()];
  await work();
  expect([await children(), await mounts()]).to.deep.equal(before);
}

describe("id maps of the addon", () => {
  it("show the owners of a bound directory as the ids of a namespace, and write as them", async () => {
    await using scratch = await Scratch.make();
    for (const name of ["from", "to"]) await mkdir(scratch.in(name));
    for (const [name, owner] of [
      ["root", 0],
      ["some", 7],
      ["beyond", 1_000],
    ] as const) {
      await writeFile(scratch.in(`from/${name}`), "");
      await chown(scratch.in(`from/${name}`), owner, owner);
    }
    await native.bindMount(scratch.in("from"), scratch.in("to"), true, plain, { ids, follows: false });
    expect(await ownerOf(scratch.in("to/root"))).to.deep.equal([70_000, 80_000]);
    expect(await ownerOf(scratch.in("to/some"))).to.deep.equal([70_007, 80_007]);
    expect(await ownerOf(scratch.in("to/beyond"))).to.deep.equal([nobody, nobody]);
    await chown(scratch.in("to/root"), 70_009, 80_009);
    expect(await ownerOf(scratch.in("from/root"))).to.deep.equal([9, 9]);
  });

  it("can be of several pieces: one id of the host changes places, all others are themselves", async () => {
    await using scratch = await Scratch.make();
    for (const name of ["from", "to"]) await mkdir(scratch.in(name));
    for (const id of [0, 7, moved, moved + 1]) {
      await writeFile(scratch.in(`from/${id}`), "");
      await chown(scratch.in(`from/${id}`), id, id);
    }
    await native.bindMount(scratch.in("from"), scratch.in("to"), true, plain, { ids: hole, follows: false });
    expect(await ownerOf(scratch.in("to/0"))).to.deep.equal([moved, moved]);
    expect(await ownerOf(scratch.in("to/7"))).to.deep.equal([7, 7]);
    expect(await ownerOf(scratch.in(`to/${moved}`))).to.deep.equal([nobody, nobody]);
    expect(await ownerOf(scratch.in(`to/${moved + 1}`))).to.deep.equal([moved + 1, moved + 1]);
  });

  it("make a user namespace that a program can be given, and leave no process behind", async () => {
    await expectNothingLeft(async () => {
      const fd = await native.openUserNamespace(hole);
      try {
        const args = ["--user=/proc/self/fd/3", "cat", "/proc/self/uid_map"];
        const printed = execFileSync("nsenter", args, { stdio: ["ignore", "pipe", "inherit", fd], encoding: "utf8" });
        const lines = printed
          .trim()
          .split("\n")
          .map((line) => line.trim().split(/\s+/).map(Number));
        expect(lines).to.deep.equal(hole.extents.map(({ inside, outside, count }) => [inside, outside, count]));
      } finally {
        await native.closeFd(fd);
      }
    });
  });

  it("are refused without a single id, and when their pieces overlap", async () => {
    const one = { inside: 0, outside: 1, count: 1 };
    expect(() => native.openUserNamespace({ extents: [] })).to.throw(TypeError);
    expect(await failure(() => native.openUserNamespace({ extents: [one, one] }))).to.include({ code: "EINVAL" });
  });

  it("let a bound directory follow what is mounted below its source, or not, and leave that alone", async () => {
    await using scratch = await Scratch.make();
    for (const name of ["from", "from/late", "with", "without"]) await mkdir(scratch.in(name));
    await native.bindMount(scratch.in("from"), scratch.in("from"), false, plain);
    await native.setPropagation(scratch.in("from"), "shared", false);
    await native.bindMount(scratch.in("from"), scratch.in("with"), true, plain, { ids, follows: true });
    await native.bindMount(scratch.in("from"), scratch.in("without"), true, plain, { ids, follows: false });
    await native.mountTmpfs(scratch.in("from/late"), 1 << 20, 0o755);
    await writeFile(scratch.in("from/late/x"), "");
    expect(await readdir(scratch.in("with/late"))).to.deep.equal(["x"]);
    expect(await readdir(scratch.in("without/late"))).to.deep.equal([]);
    await native.unmount(scratch.in("with"), true);
    expect(await readdir(scratch.in("from/late"))).to.deep.equal(["x"]);
  });

  it("map what can be mapped of the mounts below a source, and refuse a source that can't", async () => {
    await using scratch = await Scratch.make();
    for (const name of ["from", "from/proc", "to", "other"]) await mkdir(scratch.in(name));
    await native.bindMount("/proc", scratch.in("from/proc"), false, plain);
    await native.bindMount(scratch.in("from"), scratch.in("to"), true, plain, { ids, follows: false });
    expect(await ownerOf(scratch.in("to"))).to.deep.equal([70_000, 80_000]);
    expect(await ownerOf(scratch.in("to/proc/1"))).to.deep.equal([0, 0]);
    const refused = await failure(() =>
      native.bindMount("/proc", scratch.in("other"), false, plain, { ids, follows: false }),
    );
    expect(refused).to.include({ code: "EINVAL", path: "/proc", syscall: "mount_setattr idmap" });
    expect(await readdir(scratch.in("other"))).to.deep.equal([]);
  });

  it("show the owners of an overlay's lowers as those ids, and leave nothing but the overlay", async () => {
    await using scratch = await Scratch.make();
    for (const name of ["top", "base", "upper", "work", "merged"]) await mkdir(scratch.in(name));
    for (const name of ["top/top", "base/base"]) await writeFile(scratch.in(name), name);
    await chown(scratch.in("base/base"), 5, 6);
    const parts = {
      lowers: [scratch.in("top"), scratch.in("base")],
      upper: scratch.in("upper"),
      work: scratch.in("work"),
      target: scratch.in("merged"),
    };
    await expectNothingLeft(async () => {
      await native.mountOverlay({ ...parts, flags: plain, index: true, ids });
      expect(await ownerOf(scratch.in("merged/top"))).to.deep.equal([70_000, 80_000]);
      await writeFile(scratch.in("merged/base"), "written");
      expect(await ownerOf(scratch.in("upper/base"))).to.deep.equal([70_005, 80_006]);
      expect(await readFile(scratch.in("base/base"), "utf8")).to.equal("base/base");
      expect(await ownerOf(scratch.in("base/base"))).to.deep.equal([5, 6]);
      await native.unmount(scratch.in("merged"), false);
    });
  });

  it("show them in a read-only overlay, and with more lowers than one page of options names", async () => {
    await using scratch = await Scratch.make();
    const lowers = Array.from({ length: 90 }, (_, index) => scratch.in(`a-layer-with-quite-a-long-name-${index}`));
    for (const [index, path] of lowers.entries()) {
      await mkdir(path);
      await writeFile(`${path}/${index}`, "");
    }
    await mkdir(scratch.in("merged"));
    const parts = { lowers, upper: null, work: null, target: scratch.in("merged") };
    await native.mountOverlay({ ...parts, flags: { ...plain, readonly: true }, index: false, ids });
    expect(await readdir(scratch.in("merged"))).to.have.length(90);
    expect(await ownerOf(scratch.in("merged/89"))).to.deep.equal([70_000, 80_000]);
    expect(await failure(() => writeFile(scratch.in("merged/new"), ""))).to.include({ code: "EROFS" });
  });

  it("make a network namespace that a user namespace owns, and leave no process", async () => {
    await using scratch = await Scratch.make();
    const path = scratch.in("net");
    await expectNothingLeft(async () => {
      await native.createNetns(path, ids);
      const inside = ["stat", "-c", "%u %g", "/proc/sys/net/ipv4/ip_forward"]; // belongs to root of the owner
      const seen = execFileSync("nsenter", [`--net=${path}`, ...inside], { encoding: "utf8" });
      expect(seen).to.equal("70000 80000\n");
      const state = ["cat", "/sys/class/net/lo/flags"];
      expect(
        execFileSync(
          "nsenter",
          [`--net=${path}`, "unshare", "--mount", "sh", "-c", `mount -t sysfs none /sys && ${state.join(" ")}`],
          { encoding: "utf8" },
        ),
      ).to.equal("0x9\n");
      await native.removeNetns(path);
    });
  });

  it("refuse ids that there are not, and leave nothing", async () => {
    await using scratch = await Scratch.make();
    await expectNothingLeft(async () => {
      const none = { ...ids, uids: { first: 0xffff_ffff, count: 10 } };
      const path = scratch.in("net");
      expect(await failure(() => native.createNetns(path, none))).to.include({ code: "EINVAL", syscall: "write" });
      expect(await readdir(scratch.in("."))).to.deep.equal([]);
    });
  });
});
