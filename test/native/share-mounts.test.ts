/**
 * A share whose mounts are among those of the process that serves it: of the launcher's jail, with a program in it that
 * only waits.
 */
import { constants } from "node:fs";
import { access, mkdir, readFile, readdir, rmdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { codeOf } from "../../src/base/errors.js";
import { mountsBelow } from "../../src/base/mountinfo.js";
import type { SpawnedProcess } from "../../src/native/addon.js";
import type { SharedPath } from "../../src/vmm/box.js";
import { boxDirectoryAt } from "../../src/vmm/box-directory.js";
import { movedRoot } from "../../src/vmm/box-ids.js";
import { givenDescriptors } from "../../src/vmm/drivers/driver.js";
import { enterArguments, jailedProgram } from "../../src/vmm/drivers/jailed-program.js";
import { GuestShare } from "../../src/vmm/share/guest-share.js";
import { ServerMounts } from "../../src/vmm/share/share-mounts.js";
import { BoxNamespace } from "../../src/vmm/user-namespace.js";
import { projectDirectory } from "../support/project.js";
import { eventually } from "../support/wait.js";
import { Scratch, failure, native } from "./scratch.js";

const root = 0x8000_c0df;
const owners = movedRoot(root);
const writable = { readonly: false, recursive: true, without: [] };

/** One that is served; `mapped`: with the owners of a user namespace, by its root. */
class Served implements AsyncDisposable {
  readonly share: GuestShare;
  readonly server: SpawnedProcess;

  private constructor(share: GuestShare, server: SpawnedProcess) {
    this.share = share;
    this.server = server;
  }

  static async make(scratch: Scratch, mapped = false): Promise<Served> {
    for (const name of ["box", "base", "base/usr"]) await mkdir(scratch.in(name));
    const directory = boxDirectoryAt(scratch.in("box"));
    const of = (server: SpawnedProcess | undefined): GuestShare =>
      new GuestShare(mapped ? owners : null, directory, native, new ServerMounts(native, directory.share, server));
    await of(undefined).create();
    await using trees = await of(undefined).trees(scratch.in("base"));
    const program = await jailedProgram("/bin/sleep", [], AbortSignal.timeout(10_000));
    await using namespace = await BoxNamespace.open(native, mapped ? root : undefined);
    const options = ["share=3", "base=4", ...(mapped ? ["userns=5"] : [])];
    const args = enterArguments({ ...program, name: "sleep", args: ["1000"], options });
    const server = await native.spawn({
      file: join(projectDirectory, "build/assets/bin/a3s-box-launcher"),
      ...{ args, env: [], cwd: "/", netns: null, newMountNamespace: false, newIpcAndUts: false },
      stdio: [null, null, null, ...givenDescriptors({ trees: trees.given, userNamespace: namespace.given })],
      ...{ cgroupProcs: [], maxOpenFiles: null, oomScoreAdj: null },
    });
    const comm = `/proc/${String(server.pid)}/comm`;
    await eventually("it waits", 10_000, async () => ((await readFile(comm, "utf8")) === "sleep\n" ? true : undefined));
    return new Served(of(server), server);
  }

  async end(): Promise<void> {
    const watch = native.watchExit(this.server.pidfd);
    await native.signalProcess(this.server.pidfd, 9);
    await watch.exited;
  }

  /** What the entry's mounts are called in it, itself being "". */
  async mountedIn({ hostPath }: SharedPath): Promise<string[]> {
    const mounted = mountsBelow(await this.share.mounted(), hostPath);
    return mounted.map((target) => target.slice(hostPath.length + 1)).reverse();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (await native.signalProcess(this.server.pidfd, 0)) await this.end();
    await native.closeFd(this.server.pidfd);
  }
}

async function hostMounts(): Promise<string[]> {
  return (await readFile("/proc/self/mountinfo", "utf8")).split("\n").map((line) => line.split(" ").slice(3).join(" "));
}

async function volumeWithMounts(scratch: Scratch): Promise<string> {
  const volume = scratch.in("volume");
  for (const name of ["volume", "volume/inner"]) {
    await mkdir(scratch.in(name));
    await native.mountTmpfs(scratch.in(name), 1 << 20, 0o755);
  }
  await writeFile(join(volume, "inner/file"), "");
  return volume;
}

async function snapshotIn(scratch: Scratch): Promise<{ lowers: string[]; upper: string; work: string }> {
  for (const name of ["low", "own", "own/upper", "own/work"]) await mkdir(scratch.in(name));
  await writeFile(scratch.in("low/program"), "low");
  return { lowers: [scratch.in("low")], upper: scratch.in("own/upper"), work: scratch.in("own/work") };
}

describe("mounts of a share, among its server's", () => {
  it("are the server's alone: the host has none of them, be it a volume, a mount, an image or a root", async () => {
    await using scratch = await Scratch.make();
    const volume = await volumeWithMounts(scratch);
    const snapshot = await snapshotIn(scratch);
    const before = await hostMounts();
    await using served = await Served.make(scratch);
    const { share } = served;
    const bound = await share.bind("volume", volume, writable);
    const one = await share.mount("late", volume, true);
    await share.overlay("root", snapshot);
    await share.image("image", [scratch.in("low"), scratch.in("base")]);
    expect(await served.mountedIn(bound)).to.deep.equal(["", "inner"]);
    expect(await served.mountedIn(one)).to.deep.equal([""]);
    const top = await share.mounted();
    expect(top.map(({ type, target }) => [type, target.split("/share")[1]?.split("-")[0]])).to.deep.include.members([
      ["overlay", "/c/root"],
      ["overlay", "/v/image"],
      ["tmpfs", "/base"],
    ]);
    expect(await hostMounts()).to.deep.equal(before);
    for (const path of await share.list()) await share.remove(path);
    expect(await share.list()).to.deep.equal([]);
    expect((await share.mounted()).map(({ target }) => target.split("/share")[1])).to.deep.equal(["", "/base"]);
  });

  it("keep the host from nothing: what was mounted below a volume is unmounted and removed at once", async () => {
    await using scratch = await Scratch.make();
    const volume = await volumeWithMounts(scratch);
    await using served = await Served.make(scratch);
    const bound = await served.share.bind("volume", volume, writable);
    await native.unmount(join(volume, "inner"), false);
    expect(await served.mountedIn(bound)).to.deep.equal(["", "inner"]);
    await rmdir(join(volume, "inner"));
    expect(await served.mountedIn(bound)).to.deep.equal([""]);
    await native.unmount(volume, false);
    await rmdir(volume);
    expect(await served.mountedIn(bound)).to.deep.equal([""]); // the guest's, until its entry goes
    await served.share.remove(bound.hostPath);
  });

  for (const mapped of [false, true]) {
    it(`let a root be written to ${mapped ? "with mapped owners" : "as it is"}, which this process looks at by a path for a while`, async () => {
      await using scratch = await Scratch.make();
      const snapshot = await snapshotIn(scratch);
      await using served = await Served.make(scratch, mapped);
      const { hostPath } = await served.share.overlay("root", snapshot);
      expect(await readdir(join(hostPath)).catch(codeOf)).to.not.deep.equal(["program"]);
      await served.share.lookAt(hostPath, async (path) => {
        expect(await readFile(join(path, "program"), "utf8")).to.equal("low");
        expect((await stat(path)).uid).to.equal(mapped ? root : 0);
        if (!mapped) await writeFile(join(path, "made"), "");
      });
      expect(await readdir(snapshot.upper)).to.deep.equal(mapped ? [] : ["made"]);
      await served.share.remove(hostPath);
      expect(await served.share.list()).to.deep.equal([]);
    });
  }

  it("are made nowhere but where an entry is: no link leads out, a file takes no directory, nothing stays of a failure", async () => {
    await using scratch = await Scratch.make();
    await using served = await Served.make(scratch);
    const { pid, startTime } = served.server;
    const among = { pid, startTime };
    const bind = (target: string): Promise<void> =>
      native.bindMount(
        scratch.in("base"),
        target,
        false,
        { readonly: false, nosuid: true, nodev: true },
        {
          ...{ ids: null, follows: false },
          among,
        },
      );
    expect(await failure(() => bind("/share/usr"))).to.include({ code: "ELOOP" });
    expect(await failure(() => bind("/share/none"))).to.include({ code: "ENOENT" });
    expect(await failure(() => native.openAmongMounts(among, "/share/lib"))).to.include({ code: "ELOOP" });
    expect(await failure(() => served.share.bind("gone", scratch.in("none"), writable))).to.include({ code: "ENOENT" });
    expect(await served.share.list()).to.deep.equal([]);
    expect(await served.share.mounted()).to.have.lengthOf(2);
  });

  it("have no exec nor set-uid in them for who finds a way there", async () => {
    await using scratch = await Scratch.make();
    await using served = await Served.make(scratch);
    const text = await native.readMounts(served.server);
    expect(text)
      .to.match(/ \/share ro,nosuid,nodev,noexec,/)
      .and.match(/ \/share\/base ro,nosuid,nodev,/);
    await served.share.lookAt(boxDirectoryAt(scratch.in("box")).share, async (path) => {
      expect(await failure(() => access(path, constants.W_OK))).to.include({ code: "EROFS" });
    });
  });

  it("end with the server: nothing is left to be unmounted, and what is asked for then says that the Box has ended", async () => {
    await using scratch = await Scratch.make();
    const volume = await volumeWithMounts(scratch);
    await using served = await Served.make(scratch);
    const bound = await served.share.bind("volume", volume, writable);
    await served.end();
    await native.unmount(join(volume, "inner"), false);
    await native.unmount(volume, false);
    await served.share.remove(bound.hostPath);
    const refused = await served.share.bind("volume", volume, writable).catch((thrown: unknown) => thrown);
    expect(codeOf(refused)).to.equal("unavailable");
    expect(refused).to.have.property("message").that.includes("the Box has ended");
    expect(await served.share.list()).to.deep.equal([]);
    const other = { pid: process.pid, startTime: 1n };
    expect(await failure(() => native.readMounts(other))).to.include({ code: "ESRCH" });
  });
});
