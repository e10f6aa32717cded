/**
 * Somebody has taken over the file server beside a guest: a hostile program is in virtiofsd's place, in the jail that the
 * driver makes, with its share. It has more than virtiofsd leaves itself: all system calls.
 */
import { expect } from "chai";
import { chmod, mkdir, mkdtemp, open, readFile, readdir, readlink, rm, stat, writeFile } from "node:fs/promises";
import { execFileSync } from "node:child_process";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { mountsBelow, readMountinfo } from "../../src/base/mountinfo.js";
import { loadNative } from "../../src/native/addon.js";
import { boxDirectoryAt } from "../../src/vmm/box-directory.js";
import { movedRoot } from "../../src/vmm/box-ids.js";
import { enterArguments, jailedProgram } from "../../src/vmm/drivers/jailed-program.js";
import { fileServerOptions } from "../../src/vmm/drivers/qemu/qemu-arguments.js";
import type { GivenTrees } from "../../src/vmm/share/share-trees.js";
import { hostedShare } from "../support/hosted-share.js";
import { needsMappedOwners } from "../support/mapped-owners.js";
import { projectDirectory } from "../support/project.js";
import { Undo } from "../support/undo.js";
import { eventually, limit } from "../support/wait.js";
import { build } from "./build.js";

const assets = join(projectDirectory, "build/assets");
const { native } = loadNative(assets);
const root = 3_000_000_001;
/** What a program has that serves files of all users: jailed-program.ts. */
const capabilities = [0, 1, 3, 4, 6, 7, 8, 18, 31];
const bits = capabilities.reduce((sum, each) => sum | (1n << BigInt(each)), 0n);

/** What it has been answered, and what the host sees of it while it waits. */
interface TakenOver {
  readonly answers: ReadonlyMap<string, string[]>;
  readonly status: string;
  readonly uidMap: string;
  readonly mounts: string[];
  readonly descriptors: string[];
}

for (const mapped of [true, false]) {
  describe(`who has taken over a file server, ${mapped ? "root of nothing" : "where the kernel maps no owners"}`, function () {
    this.timeout(limit(60_000));
    let base: string;
    let found: TakenOver;
    const undo = new Undo();

    before(async function () {
      base = await mkdtemp(join(tmpdir(), "a3s-taken-"));
      undo.add(async () => {
        for (const target of mountsBelow(await readMountinfo(), base)) await native.unmount(target, true);
        await rm(base, { recursive: true, force: true });
      });
      if (mapped) await needsMappedOwners(this, native, base);
      found = await takeOver();
    });
    after(async () => {
      await undo.run();
    });

    async function takeOver(): Promise<TakenOver> {
      await Promise.all(["box", "base", "own", "other"].map((name) => mkdir(join(base, name))));
      execFileSync("mount", ["-t", "ramfs", "none", join(base, "other")]); // its owners can't be mapped
      for (const [path, mode] of [
        ["own/roots", 0o600],
        ["other/roots", 0o600],
        ["other/public", 0o644],
      ] as const) {
        await writeFile(join(base, path), "root's\n");
        await chmod(join(base, path), mode);
      }
      const directory = boxDirectoryAt(join(base, "box"));
      const owners = mapped ? movedRoot(root) : null;
      const { guest, trees } = await hostedShare(native, directory, join(base, "base"), owners);
      const how = { readonly: false, recursive: true, without: [] };
      const areas = [
        await guest.bind("own", join(base, "own"), how),
        await guest.bind("other", join(base, "other"), how),
      ];
      const program = await jailedProgram(await build("taken-over", base), [], AbortSignal.timeout(limit(10_000)));
      const options = fileServerOptions(directory, { hasUserNamespace: mapped });
      const args = areas.map(({ hostPath }) => basename(hostPath));
      await using served = await trees();
      return await run(enterArguments({ ...program, name: "virtiofsd", args, options }), served.given);
    }

    async function run(args: string[], trees: GivenTrees): Promise<TakenOver> {
      const said = join(base, "said");
      const stop = join(base, "stop");
      execFileSync("sh", ["-c", `mkfifo ${stop}`]);
      const namespace = mapped ? await native.openUserNamespace(movedRoot(root)) : undefined;
      undo.add(async () => {
        if (namespace !== undefined) await native.closeFd(namespace);
      });
      await using input = await open(stop, "r+"); // it waits for what never comes
      await using log = await open(said, "a");
      const server = await native.spawn({
        file: join(assets, "bin/a3s-box-launcher"),
        ...{ args, env: [], cwd: "/", netns: null, newMountNamespace: false },
        stdio: [input.fd, log.fd, log.fd, trees.share, trees.base, ...(namespace === undefined ? [] : [namespace])],
        ...{ newIpcAndUts: true, newPidNamespace: true, cgroupProcs: [], maxOpenFiles: null, oomScoreAdj: null },
      });
      const watch = native.watchExit(server.pidfd);
      try {
        const text = await eventually("it has tried all", 20_000, async () => {
          const all = await readFile(said, "utf8");
          return /^end => /m.test(all) ? all : undefined;
        });
        return { answers: byAttempt(text), ...(await seenFromOutside(server.pid)) };
      } finally {
        await native.signalProcess(server.pidfd, 9);
        await watch.exited;
        await native.closeFd(server.pidfd);
      }
    }

    const answered = (attempt: string): string[] => found.answers.get(attempt) ?? [];
    const tried = (prefix: string): [string, string[]][] =>
      [...found.answers].filter(([attempt]) => attempt.startsWith(prefix));

    it("finds of proc its own descriptors, and no way from there to the kernel's settings or to memory", () => {
      expect(tried("write ../").length + tried("read ../").length).to.be.greaterThan(12);
      for (const [attempt, answers] of [...tried("write ../"), ...tried("read ../")]) {
        expect(answers, attempt).to.deep.equal(["ENOENT"]);
      }
    });

    it("sees from there, however far up it goes, the jail: its program, the share, two files, nothing of the host", () => {
      const own = answered("list .");
      expect(own).to.have.length.greaterThan(3);
      expect(
        own.every((name) => /^\d+$/.test(name)),
        own.join(),
      ).to.equal(true);
      expect(answered("list ..").sort()).to.deep.equal(["fd", "mountinfo"]);
      expect(answered("list ../..").sort()).to.deep.equal(["self", "sys"]);
      const top = ["proc", "share", "tmp"]; // the program lies below the host's temporary directory
      expect(answered("list ../../..").sort()).to.deep.equal(top);
      expect(answered("list ../../../../../../..").sort()).to.deep.equal(top);
    });

    it("has open what it was given, and no directory of the host", () => {
      const files = found.descriptors.filter((link) => !/^(socket:|pipe:|\/share\/)/.test(link));
      expect(files.sort()).to.deep.equal(
        ["/proc/self/fd", join(base, "said"), join(base, "said"), join(base, "stop")].sort(),
      );
    });

    it("is mounted with nothing but the jail, its program and the share, which runs and opens nothing", () => {
      const targets = found.mounts.map((line) => line.split(" ")[4] ?? "");
      expect(targets.filter((target) => !/^\/(v\/.*|base)?$/.test(target))).to.deep.equal([]);
      for (const line of found.mounts) expect(line.split(" ")[5]).to.match(/nosuid,nodev/);
      expect(found.mounts.find((line) => line.split(" ")[4] === "/")?.split(" ")[5]).to.match(/^ro,/);
    });

    it("makes no device on a disk, and no file in the jail or at the top of the share", () => {
      expect(answered("make a disk's node")).to.deep.equal(["EPERM"]);
      expect(answered("make a node of memory")).to.deep.equal(["EPERM"]);
      expect(answered("make a FIFO")).to.deep.equal(["done"]);
      expect(answered("write into the jail")).to.deep.equal(["EROFS"]);
      expect(answered("write at the top of the share")).to.deep.equal(["EROFS"]);
      expect(answered("open by handle")[0]).to.match(/^E(PERM|STALE)$/);
    });

    it("mounts nothing, makes no namespace, and starts a few processes at most", () => {
      for (const attempt of ["mount", "mount proc", "unshare mounts", "unshare network", "host name"]) {
        expect(answered(attempt), attempt).to.deep.equal(["EPERM"]);
      }
      if (mapped) expect(answered("fork")).to.deep.equal(["bounded"]);
    });

    it("has the rights of who serves files, and no other", () => {
      for (const set of ["CapPrm", "CapEff", "CapBnd"]) {
        expect(valueOf(found.status, set), set).to.equal(bits.toString(16).padStart(16, "0"));
      }
      for (const set of ["CapInh", "CapAmb"]) expect(valueOf(found.status, set), set).to.equal("0".repeat(16));
      expect(valueOf(found.status, "NoNewPrivs")).to.equal("1");
      expect(valueOf(found.status, "Groups")).to.equal("");
    });

    if (!mapped) return;

    it("is a user of the host that owns nothing, and the host's root is none of its users", () => {
      for (const ids of ["Uid", "Gid"]) {
        expect(new Set(valueOf(found.status, ids).split(/\s+/)), ids).to.deep.equal(new Set([String(root)]));
      }
      const lines = found.uidMap
        .trim()
        .split("\n")
        .map((line) => line.trim().split(/\s+/).map(Number));
      expect(lines[0]).to.deep.equal([0, root, 1]);
      for (const [, outside] of lines) expect(outside).to.be.greaterThan(0);
    });

    it("serves root's files where owners are mapped, and where they can't be has nobody's rights to them", async () => {
      expect(answered("read root's file of a mapped volume")).to.deep.equal(["done"]);
      expect(answered("read root's file of another volume")).to.deep.equal(["EACCES"]);
      expect(answered("write what root alone writes there")).to.deep.equal(["EACCES"]);
      expect(answered("chown it")).to.deep.equal(["EPERM"]);
      expect((await stat(join(base, "own/fifo"))).uid, "on the disk it is root's").to.equal(0);
      expect(await readdir(join(base, "own"))).to.include("fifo");
    });
  });
}

async function seenFromOutside(pid: number): Promise<Omit<TakenOver, "answers">> {
  const of = (name: string): Promise<string> => readFile(`/proc/${pid}/${name}`, "utf8");
  const directory = `/proc/${pid}/fd`;
  const descriptors = await Promise.all((await readdir(directory)).map((fd) => readlink(`${directory}/${fd}`)));
  const mounts = (await of("mountinfo")).trim().split("\n");
  return { status: await of("status"), uidMap: await of("uid_map"), mounts, descriptors };
}

function valueOf(status: string, name: string): string {
  return new RegExp(`^${name}:[ \\t]*(.*)$`, "m").exec(status)?.[1]?.trim() ?? "?";
}

function byAttempt(text: string): Map<string, string[]> {
  const all = new Map<string, string[]>();
  for (const line of text.trim().split("\n")) {
    const [attempt = "", answer = ""] = line.split(" => ");
    all.set(attempt, [...(all.get(attempt) ?? []), answer]);
  }
  return all;
}
