/** The file server of a Box is root of nothing on the host; what its guest's users own is theirs on the disk all the same. */
import { expect } from "chai";
import { execFileSync } from "node:child_process";
import { chmod, chown, mkdir, readFile, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Box } from "../../src/vmm/box.js";
import { skipBecause } from "../support/skip.js";
import { limit } from "../support/wait.js";
import { BoxBench, native, within } from "./bench-of-boxes.js";
import { busyboxSpec } from "./busybox-spec.js";
import { startSession, type Ended } from "./sessions.js";

const capabilities = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETUID", "SETGID", "MKNOD"].map(
  (one) => `CAP_${one}`,
);

/** A command line with every right that files take, in a root of its own, and a volume. */
async function run(box: Box, bench: BoxBench, command: string, volume?: string): Promise<Ended> {
  const bind = volume === undefined ? undefined : await box.shareBind("volume", volume, false);
  const spec = (root: string): object => {
    const base = busyboxSpec(root, command, bind?.guestPath);
    const sets = { bounding: capabilities, effective: capabilities, permitted: capabilities };
    return { ...base, process: { ...base.process, capabilities: sets } };
  };
  const session = await startSession(box, bench, { spec, held: bind === undefined ? [] : [bind.guestPath] });
  try {
    return await session.ended();
  } finally {
    await session.remove();
    if (bind !== undefined) await box.removeShared(bind.hostPath);
  }
}

/** Owner, group and mode as the disk has them. */
async function onDisk(path: string): Promise<string> {
  const { uid, gid, mode } = await stat(path);
  return `${uid}:${gid} ${(mode & 0o7777).toString(8)}`;
}

describe("the owners of a Box's files", function () {
  this.timeout(limit(120_000));
  let bench: BoxBench;
  let box: Box;
  before(async function () {
    bench = await BoxBench.open();
    if (!bench.factory.owners.mapped) skipBecause(this, "the kernel maps no owners");
    box = await bench.boot();
    if (box.handle.serverRoot === undefined) skipBecause(this, "this driver's file server has no user namespace");
  });
  after(async () => {
    await bench[Symbol.asyncDispose]();
  });

  /** What the one root that has that name in it wrote. */
  async function upperWith(name: string): Promise<string> {
    for (const directory of await readdir(bench.directory)) {
      const upper = join(bench.directory, directory, "upper");
      if ((await readdir(upper).catch(() => [""])).includes(name)) return upper;
    }
    throw new Error(`no root has a ${name}`);
  }

  it("of a container's root are the guest's users on the disk, with links, modes and what was removed", async () => {
    const lines = [
      "mkdir /made /made/dir && cd /made && echo x >root && echo x >some && echo x >far",
      "chown 1000:1001 some && chown 2000000000:70000 far && chmod 4755 some && chmod 2750 dir",
      "ln some link && ln -s nowhere symbolic && mv far moved && mkfifo fifo",
      "ls -ln | cut -c1-10,12- && stat -c '%u %g %a %h' some",
      "rm /bin/own && rm -r /layer && mkdir /layer && echo new >/layer/new && ls -a /layer /bin",
    ];
    await prepareLayer();
    const { stdout, stderr, code } = await run(box, bench, lines.join(" && "));
    expect({ stderr, code }).to.deep.equal({ stderr: "", code: 0 });
    expect(stdout).to.match(/^1000 1001 4755 2$/m);
    expect(stdout).to.include("new").and.to.not.include("old");
    const upper = await upperWith("made");
    expect(await onDisk(join(upper, "made/root"))).to.equal("0:0 644");
    expect(await onDisk(join(upper, "made/some"))).to.equal("1000:1001 4755");
    expect(await onDisk(join(upper, "made/moved"))).to.equal("2000000000:70000 644");
    expect(await onDisk(join(upper, "made/dir"))).to.equal("0:0 2750");
    expect((await stat(join(upper, "made/link"))).ino).to.equal((await stat(join(upper, "made/some"))).ino);
    expect((await stat(join(upper, "made/fifo"))).isFIFO()).to.equal(true);
    const removed = await stat(join(upper, "bin/own"));
    expect([removed.isCharacterDevice(), removed.rdev]).to.deep.equal([true, 0]);
    expect((await readdir(join(upper, "layer"))).sort()).to.deep.equal(["new"]);
    expect(await readFile(join(bench.directory, "layer/layer/old"), "utf8")).to.equal("old\n");
  });

  async function prepareLayer(): Promise<void> {
    await bench.snapshot(); // there is a layer then
    await mkdir(join(bench.directory, "layer/layer"), { recursive: true });
    await writeFile(join(bench.directory, "layer/layer/old"), "old\n");
    await writeFile(join(bench.directory, "layer/bin/own"), "");
  }

  it("hold for set-uid programs of a root: they run as their owner", async () => {
    const lines = [
      "echo secret >/secret && chmod 600 /secret && cat /secret",
      "cp /bin/busybox /id && chown 1234 /id && chmod 4755 /id && /id",
    ];
    const { stdout } = await run(box, bench, lines.join(" && "));
    expect(stdout)
      .to.match(/^secret$/m)
      .and.to.match(/euid=1234|uid=1234/);
  });

  it("of a Secret, which is for root alone and on a tmpfs, are root's, and what the guest writes on a volume is as it says", async () => {
    const volume = join(bench.directory, "secret");
    await mkdir(volume);
    await native.mountTmpfs(volume, 1 << 20, 0o755);
    try {
      await writeFile(join(volume, "token"), "token\n");
      await chmod(join(volume, "token"), 0o400);
      await writeFile(join(volume, "users"), "user's\n");
      await chown(join(volume, "users"), 1000, 1000);
      const line = "cd /volume && stat -c '%u %a' token users && cat token && echo x >made && chown 1000 made";
      const { stdout, stderr } = await run(box, bench, line, volume);
      expect(stderr).to.equal("");
      expect(stdout).to.equal("0 400\n1000 644\ntoken\n");
      expect(await onDisk(join(volume, "made"))).to.equal("1000:0 644");
    } finally {
      await native.unmount(volume, true);
    }
  });

  it("of a volume that can't be mapped are nobody to root, and themselves to everybody else", async () => {
    const volume = join(bench.directory, "foreign");
    await mkdir(volume);
    execFileSync("mount", ["-t", "ramfs", "none", volume]);
    try {
      await writeFile(join(volume, "roots"), "root's\n");
      await chmod(join(volume, "roots"), 0o600);
      await writeFile(join(volume, "public"), "public\n");
      await mkdir(join(volume, "users"), { mode: 0o700 });
      await chown(join(volume, "users"), 1000, 1000);
      const line =
        "cd /volume; cat public; cat roots; echo x >>public; echo x >users/new && chown 1000:1000 users/new && ls -n users";
      const { stdout, stderr } = await run(box, bench, line, volume);
      expect(stdout).to.match(/^public\n.* 1000 +1000 .* new\n$/s);
      expect(stderr.match(/Permission denied/g)).to.have.length(2);
      expect(await onDisk(join(volume, "users/new"))).to.equal("1000:1000 644");
    } finally {
      await native.unmount(volume, true);
    }
  });

  it("can't be given to the one user that root is on the host, and are nobody's then", async () => {
    const { stderr } = await run(box, bench, `echo x >/mine; chown ${String(box.handle.serverRoot)} /mine`);
    expect(stderr).to.match(/Invalid argument/);
  });

  it("are the same in what a daemon shares that has found the Box again", async () => {
    await bench.reopen();
    box.agent.close("the first daemon is gone");
    const adopted = await bench.factory.adopt(box.id, box.handle, within(10_000));
    if (adopted === null) throw new Error("not found");
    box = adopted;
    const { stderr, code } = await run(box, bench, "echo x >/adopted && chown 1000 /adopted && mkfifo /fifo");
    expect({ stderr, code }).to.deep.equal({ stderr: "", code: 0 });
    expect(await onDisk(join(await upperWith("adopted"), "adopted"))).to.equal("1000:0 644");
  });
});

describe("a Box of an earlier daemon, whose file server is root of the host", function () {
  this.timeout(limit(120_000));
  let bench: BoxBench;
  before(async () => {
    bench = await BoxBench.open();
  });
  after(async () => {
    await bench[Symbol.asyncDispose]();
  });

  it("goes on with shares that show owners as they are", async () => {
    await bench.reopen({ mapped: false, why: "an earlier daemon" });
    const box = await bench.boot();
    expect(box.handle).to.not.have.property("serverRoot");
    await bench.reopen();
    box.agent.close("the first daemon is gone");
    const adopted = await bench.factory.adopt(box.id, box.handle, within(10_000));
    if (adopted === null) throw new Error("not found");
    const volume = join(bench.directory, "volume");
    await mkdir(volume);
    await writeFile(join(volume, "roots"), "root's\n");
    await chmod(join(volume, "roots"), 0o600);
    const line = "cat /volume/roots && echo x >/old && chown 1000 /old && chown 1000 /volume/roots";
    const { stdout, stderr } = await run(adopted, bench, line, volume);
    expect({ stdout, stderr }).to.deep.equal({ stdout: "root's\n", stderr: "" });
    expect(await onDisk(join(volume, "roots"))).to.equal("1000:0 600");
  });
});
