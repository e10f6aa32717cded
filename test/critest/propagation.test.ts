/** Mounts that the host makes and unmounts below a volume while a container of a Box has it (docs/adr/0051). */
import { mkdir, mkdtemp, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { expect } from "chai";
import { MountPropagation } from "../../src/gen/runtime/v1/api.js";
import { loadNative, type Native } from "../../src/native/addon.js";
import { containerRecords, type ContainerRecord } from "../../src/runtime/container/container-record.js";
import { readRecords } from "../../src/store/records.js";
import { Daemon } from "../support/daemon.js";
import { busybox } from "../support/images.js";
import {
  containerStatus,
  logLines,
  removeContainer,
  runPod,
  shell,
  startContainer,
  type Pod,
} from "../support/pods.js";
import { projectDirectory } from "../support/project.js";
import { shareMountinfo } from "../support/share-mountinfo.js";
import { SlowDisk } from "../support/slow-disk.js";
import { Undo } from "../support/undo.js";
import { eventually } from "../support/wait.js";

/** Changes are seen at once; the rest is for a busy machine. */
const seenMs = 40_000;
const directoryFlags = { readonly: false, nosuid: false, nodev: false };

describe("Mount propagation into a Box", () => {
  let daemon: Daemon;
  let pod: Pod;
  let native: Native;
  let directory: string;
  const undo = new Undo();
  before(async () => {
    ({ native } = loadNative(process.env["A3S_TEST_ASSETS"] ?? join(projectDirectory, "build/assets")));
    daemon = await Daemon.start({ images: [await busybox()] });
    undo.add(() => daemon.remove());
    directory = await mkdtemp(join(daemon.base, "volumes-"));
    pod = await runPod(daemon);
  });
  after(async () => {
    await undo.run();
  });

  /** With a file in it. Unmounted at the end, unless the test has done so. */
  const mountTmpfs = async (target: string, content: string): Promise<void> => {
    await mkdir(target, { recursive: true });
    await native.mountTmpfs(target, 1 << 20, 0o755);
    undo.add(() => native.unmount(target, true));
    await writeFile(join(target, "file"), content);
  };
  const start = (source: string, propagation: MountPropagation, command = ["top"]): Promise<string> =>
    startContainer(daemon, pod, { command, mounts: [{ hostPath: source, containerPath: "/data", propagation }] });
  const becomes = async (id: string, line: string, expected: string): Promise<void> => {
    let last = "";
    const seen = eventually(`${line} in the container`, seenMs, async () => {
      last = await shell(daemon, id, `${line} 2>/dev/null || true`);
      return last === expected ? true : undefined;
    });
    await seen.catch((thrown: unknown) => {
      throw new Error(`last seen: ${JSON.stringify(last)}`, { cause: thrown });
    });
  };
  const inShares = async (): Promise<string[]> =>
    (await shareMountinfo(daemon, pod)).filter((line) => line.includes("/v/late-"));
  const followedBy = async (id: string): Promise<ContainerRecord["followed"]> => {
    const { records } = await readRecords(daemon.root, containerRecords);
    const found = records.find((record) => record.id === id);
    if (found === undefined) throw new Error(`no record of ${id}`);
    return found.followed;
  };
  const { PROPAGATION_HOST_TO_CONTAINER: fromHost, PROPAGATION_PRIVATE: none } = MountPropagation;

  it("HOST_TO_CONTAINER sees what the host mounts and unmounts, PRIVATE what was there at its creation", async () => {
    const source = join(directory, "plain");
    const [before, later] = [join(source, "before"), join(source, "later")];
    await mkdir(later, { recursive: true });
    await mountTmpfs(before, "before\n");
    const [follower, apart] = [await start(source, fromHost), await start(source, none)];
    // who does not ask has nothing that is followed, and the place that it always had
    expect(await followedBy(apart)).to.deep.equal([]);
    expect((await followedBy(follower)).map(({ source: of }) => of)).to.deep.equal([source]);
    for (const id of [follower, apart]) expect(await shell(daemon, id, "cat /data/before/file")).to.equal("before\n");
    await mountTmpfs(later, "later\n");
    await mountTmpfs(join(later, "deep"), "deep\n");
    await becomes(follower, "cat /data/later/file /data/later/deep/file", "later\ndeep\n");
    expect(await shell(daemon, apart, "ls /data/later")).to.equal("");
    await shell(daemon, follower, "echo guest >/data/later/deep/from-guest");
    expect(await readFile(join(later, "deep/from-guest"), "utf8")).to.equal("guest\n");
    // nothing of the Box is in the way of the host
    for (const target of [join(later, "deep"), later, before]) await native.unmount(target, false);
    await rmdir(later);
    await becomes(follower, "ls /data /data/before", "/data:\nbefore\n\n/data/before:\n");
    expect(await shell(daemon, apart, "cat /data/before/file")).to.equal("before\n");
    await eventually("nothing is left in the share", seenMs, async () =>
      (await inShares()).length === 0 ? true : undefined,
    );
    for (const id of [follower, apart]) await removeContainer(daemon, id);
    await shell(daemon, await startContainer(daemon, pod), "true"); // the guest has outlived them
  });

  it("who has a file open keeps it, and then the file system is let go of", async () => {
    const source = join(directory, "open");
    const [target, other] = [join(source, "disk"), join(source, "other")];
    const [disk, otherDisk] = await Promise.all([SlowDisk.create(16), SlowDisk.create(16)]);
    for (const one of [disk, otherDisk]) {
      undo.add(() => one.remove());
      await writeFile(join(one.path, "file"), "kept\n");
    }
    // more than one answer of the file server can tell
    await mkdir(join(disk.path, "many"));
    for (let at = 0; at < 100; at++) await writeFile(join(disk.path, "many", String(at)), "");
    await Promise.all([target, other].map((path) => mkdir(path, { recursive: true })));
    const wait = "until [ -e $0 ]; do usleep 50000; done";
    const open = "exec 3</data/disk/file 4</data/other/file";
    const look = "ls -laR /data/disk >/dev/null";
    const steps = [wait.replace("$0", "/data/other/file"), open, look, "touch /opened", wait.replace("$0", "/go")];
    const line = [...steps, "cat <&3", "exec 3<&-", "sleep 1000"].join("; ");
    const id = await start(source, fromHost, ["sh", "-c", line]);
    await native.bindMount(disk.path, target, false, directoryFlags);
    undo.add(() => native.unmount(target, true));
    await native.bindMount(otherDisk.path, other, false, directoryFlags);
    undo.add(() => native.unmount(other, true));
    await becomes(id, "ls /opened", "/opened\n");
    for (const path of [target, other]) await native.unmount(path, false);
    await becomes(id, "ls /data/disk /data/other", "/data/disk:\n\n/data/other:\n");
    expect(await inShares()).to.have.lengthOf(2);
    await shell(daemon, id, "touch /go");
    const { logPath } = await containerStatus(daemon, id);
    await eventually("what was open is read", seenMs, async () =>
      (await logLines(logPath)).length > 0 ? true : undefined,
    );
    expect((await logLines(logPath)).map(({ text }) => text)).to.deep.equal(["kept"]);
    const isFree = async ({ path }: SlowDisk): Promise<true | undefined> => {
      const image = join(dirname(path), "image");
      return (await loopFiles()).some((file) => file.startsWith(image)) ? undefined : true; // "… (deleted)" once it is
    };
    for (const one of [disk, otherDisk]) expect(await isFree(one)).to.equal(undefined);
    for (const one of [disk, otherDisk]) await one.remove();
    await eventually("the device is free of which nothing is open any more", seenMs, () => isFree(disk));
    expect(await isFree(otherDisk)).to.equal(undefined);
    await removeContainer(daemon, id);
    await eventually("the other one is free without the container", seenMs, () => isFree(otherDisk));
    expect(await inShares()).to.deep.equal([]);
    await shell(daemon, await startContainer(daemon, pod), "true");
  });

  it("goes on with the next daemon: what was mounted meanwhile comes, what was unmounted goes, the rest is left alone", async () => {
    const source = join(directory, "restart");
    for (const name of ["stays", "goes"]) await mountTmpfs(join(source, name), `${name}\n`);
    await mkdir(join(source, "comes"));
    const id = await start(source, fromHost);
    const read = "cat /data/stays/file /data/goes/file /data/comes/file";
    await becomes(id, read, "stays\ngoes\n");
    const device = await shell(daemon, id, "stat -c %d /data/stays");
    await daemon.stop("SIGKILL");
    await native.unmount(join(source, "goes"), false);
    await mountTmpfs(join(source, "comes"), "comes\n");
    await daemon.launch();
    await becomes(id, read, "stays\ncomes\n");
    expect(await shell(daemon, id, "stat -c %d /data/stays")).to.equal(device);
    const checked = await daemon.command("check", "--running", "--json");
    expect(checked.status, checked.stdout).to.equal(0);
    await removeContainer(daemon, id);
    expect(await inShares()).to.deep.equal([]);
  });
});

describe("All of the host as a volume", () => {
  let daemon: Daemon;
  const undo = new Undo();
  before(async () => {
    daemon = await Daemon.start({ images: [await busybox()], apart: true });
    undo.add(() => daemon.remove());
  });
  after(async () => {
    await undo.run();
  });

  it("has its mounts, entered by the agent first, and none of this daemon's; HOST_TO_CONTAINER follows", async () => {
    const pod = await runPod(daemon);
    const [early, late] = await Promise.all(["early-", "late-"].map((name) => mkdtemp(join(daemon.base, name))));
    if (early === undefined || late === undefined) throw new Error("no directories");
    const mount = (target: string): void => {
      daemon.inMounts("mount", "-t", "tmpfs", "none", target);
      daemon.inMounts("sh", "-c", `echo ${basename(target)} >'${target}/file'`);
    };
    mount(early);
    const start = (propagation: MountPropagation): Promise<string> =>
      startContainer(daemon, pod, { mounts: [{ hostPath: "/", containerPath: "/host", propagation }] });
    const { PROPAGATION_HOST_TO_CONTAINER: fromHost, PROPAGATION_PRIVATE: none } = MountPropagation;
    const all = daemon
      .inMounts("cat", "/proc/self/mountinfo")
      .split("\n")
      .map((line) => line.split(" ")[4] ?? "");
    const own = all.filter((target) => target.startsWith(`${daemon.state}/`));
    expect(own).to.not.deep.equal([]);
    for (const propagation of [none, fromHost]) {
      const id = await start(propagation);
      expect(await shell(daemon, id, `cat /host${early}/file`)).to.equal(`${basename(early)}\n`);
      const seen = "cut -d' ' -f5 /proc/self/mountinfo | grep ^/host";
      const before = await shell(daemon, id, seen);
      expect(before.split("\n")).to.include.members(["/host", `/host${early}`]);
      expect(before).to.not.include(`/host${daemon.state}`);
      // whoever enters a submount first makes a mount of it
      const walk = all.filter((target) => target.startsWith("/")).map((target) => `[ -d '/host${target}/.' ]`);
      await shell(daemon, id, `${walk.join("; ")}; true`);
      expect(await shell(daemon, id, seen)).to.equal(before);
      if (propagation === fromHost) {
        mount(late);
        await eventually("the later mount shows", seenMs, async () => {
          const content = await shell(daemon, id, `cat /host${late}/file 2>/dev/null || true`);
          return content === `${basename(late)}\n` ? true : undefined;
        });
      }
      await removeContainer(daemon, id);
    }
    await shell(daemon, await startContainer(daemon, pod), "true"); // the guest has outlived them
  });
});

/** What loop devices are made of. */
async function loopFiles(): Promise<string[]> {
  const loops = (await readdir("/sys/block")).filter((name) => name.startsWith("loop"));
  const files = await Promise.all(
    loops.map((name) => readFile(`/sys/block/${name}/loop/backing_file`, "utf8").catch(() => "")),
  );
  return files.map((file) => file.trim());
}
