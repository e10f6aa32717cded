/** Mounts that the host makes and unmounts below a volume while a container of a Box has it (docs/adr/0051). */
import { mkdir, mkdtemp, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { MountPropagation } from "../../src/gen/runtime/v1/api.js";
import { loadNative, type Native } from "../../src/native/addon.js";
import { Daemon } from "../support/daemon.js";
import { busybox } from "../support/images.js";
import { exited, logLines, removeContainer, runPod, shell, startContainer, type Pod } from "../support/pods.js";
import { projectFolder } from "../support/project.js";
import { skipBecause } from "../support/skip.js";
import { SlowDisk } from "../support/slow-disk.js";
import { Undo } from "../support/undo.js";
import { eventually } from "../support/wait.js";

/** The host's mounts are looked at once a second; the rest is for a busy machine. */
const seenMs = 20_000;
const folderFlags = { readonly: false, nosuid: false, nodev: false };

describe("Mount propagation into a Box", () => {
  let daemon: Daemon;
  let pod: Pod;
  let native: Native;
  let folder: string;
  const undo = new Undo();
  before(async function () {
    ({ native } = loadNative(process.env["A3S_TEST_ASSETS"] ?? join(projectFolder, "build/assets")));
    if (process.env["A3S_TEST_HOST_MOUNTS"] !== "1")
      skipBecause(this, "sandbox.host_mounts is off unless it is asked for: A3S_TEST_HOST_MOUNTS=1 tries it");
    const config = '[sandbox]\nhost_mounts = "followed"\n';
    daemon = await Daemon.start({ images: [await busybox()], config });
    undo.add(() => daemon.remove());
    folder = await mkdtemp(join(daemon.base, "volumes-"));
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
    (await readFile("/proc/self/mountinfo", "utf8"))
      .split("\n")
      .map((line) => line.split(" ")[4] ?? "")
      .filter((target) => target.startsWith(`${daemon.state}/`) && target.includes("/v/late-"));
  const { PROPAGATION_HOST_TO_CONTAINER: fromHost, PROPAGATION_PRIVATE: none } = MountPropagation;

  it("HOST_TO_CONTAINER sees what the host mounts and unmounts, PRIVATE what was there at its creation", async () => {
    const source = join(folder, "plain");
    const [before, later] = [join(source, "before"), join(source, "later")];
    await mkdir(later, { recursive: true });
    await mountTmpfs(before, "before\n");
    const [follower, apart] = [await start(source, fromHost), await start(source, none)];
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
    const source = join(folder, "open");
    const target = join(source, "disk");
    await mkdir(target, { recursive: true });
    const disk = await SlowDisk.create(16);
    undo.add(() => disk.remove());
    await writeFile(join(disk.path, "file"), "kept\n");
    const wait = "until [ -e $0 ]; do usleep 50000; done";
    const steps = [wait.replace("$0", "/data/disk/file"), "exec 3</data/disk/file", "touch /opened"];
    const line = [...steps, wait.replace("$0", "/go"), "cat <&3"].join("; ");
    const id = await start(source, fromHost, ["sh", "-c", line]);
    await native.bindMount(disk.path, target, false, folderFlags);
    undo.add(() => native.unmount(target, true));
    await becomes(id, "ls /opened", "/opened\n");
    await native.unmount(target, false);
    await becomes(id, "ls /data/disk", "");
    expect(await inShares()).to.have.lengthOf(1);
    await shell(daemon, id, "touch /go");
    const { logPath, exitCode } = await exited(daemon, id);
    expect([exitCode, (await logLines(logPath)).map(({ text }) => text)]).to.deep.equal([0, ["kept"]]);
    const usesDisk = async (): Promise<boolean> => {
      const image = join(dirname(disk.path), "image");
      return (await loopFiles()).some((file) => file.startsWith(image)); // "… (deleted)" once it is
    };
    expect(await usesDisk()).to.equal(true);
    await disk.remove();
    await eventually("the disk's device is free", seenMs, async () => ((await usesDisk()) ? undefined : true));
    await removeContainer(daemon, id);
    await shell(daemon, await startContainer(daemon, pod), "true");
  });

  it("goes on with the next daemon: what was mounted meanwhile comes, what was unmounted goes, the rest is left alone", async () => {
    const source = join(folder, "restart");
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

/** What loop devices are made of. */
async function loopFiles(): Promise<string[]> {
  const loops = (await readdir("/sys/block")).filter((name) => name.startsWith("loop"));
  const files = await Promise.all(
    loops.map((name) => readFile(`/sys/block/${name}/loop/backing_file`, "utf8").catch(() => "")),
  );
  return files.map((file) => file.trim());
}
