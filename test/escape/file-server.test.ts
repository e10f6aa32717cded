/**
 * A guest whose kernel is hostile: it sends the file server what no driver would. Played by a program on the host, on
 * the socket that QEMU has; the file server, its jail and its share are those of a Box.
 */
import { expect } from "chai";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, open, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { loadNative } from "../../src/native/addon.js";
import { boxDirectoryAt, type BoxDirectory } from "../../src/vmm/box-directory.js";
import { movedRoot } from "../../src/vmm/box-ids.js";
import { BoxNamespace } from "../../src/vmm/user-namespace.js";
import { givenDescriptors } from "../../src/vmm/drivers/driver.js";
import { enterArguments, jailedProgram } from "../../src/vmm/drivers/jailed-program.js";
import { fileServerOptions, virtiofsdArguments } from "../../src/vmm/drivers/qemu/qemu-arguments.js";
import { waitForSocket } from "../../src/vmm/drivers/wait-for-socket.js";
import { mountsBelow, readMountinfo } from "../../src/base/mountinfo.js";
import type { GivenTrees } from "../../src/vmm/share/share-trees.js";
import { hostedShare } from "../support/hosted-share.js";
import { needsMappedOwners } from "../support/mapped-owners.js";
import { projectDirectory } from "../support/project.js";
import { skipBecause } from "../support/skip.js";
import { limit } from "../support/wait.js";
import { build } from "./build.js";
import { byRequest, expectNoHarmOfBrokenRequests, expectNothingOfNumbers, type FuseAnswers } from "./fuse-answers.js";

const root = 3_000_000_002;
const assets = join(projectDirectory, "build/assets");

for (const mapped of [true, false]) {
  describe(`the file server, of a guest's kernel that lies${mapped ? "" : ", where the kernel maps no owners"}`, function () {
    this.timeout(limit(60_000));
    let base: string;
    let canary: string;
    let volume: string;
    let share: string;
    let nobodys: string[];
    let answers: FuseAnswers;
    const { native } = loadNative(assets);

    before(async function () {
      if (process.env["A3S_TEST_DRIVER"] === "krun") skipBecause(this, "libkrun has its file server in the VMM");
      base = await mkdtemp(join(tmpdir(), "a3s-fs-"));
      if (mapped) await needsMappedOwners(this, native, base);
      canary = join(base, "canary");
      volume = join(base, "volume");
      await writeFile(canary, "untouched\n");
      await Promise.all(["box", "base", "volume"].map((name) => mkdir(join(base, name))));
      const directory = boxDirectoryAt(join(base, "box"));
      const { guest, trees } = await hostedShare(
        native,
        directory,
        join(base, "base"),
        mapped ? movedRoot(root) : null,
      );
      share = directory.share;
      await writeFile(join(directory.layout, "inside"), "");
      const { hostPath } = await guest.bind("area", volume, { readonly: false, recursive: true, without: [] });
      // The client knows it by this name.
      nobodys = [hostPath];
      await using served = await trees();
      answers = await attack(directory, served.given, hostPath.slice(share.length + 1));
    });

    after(async () => {
      for (const target of mountsBelow(await readMountinfo(), base)) await native.unmount(target, true);
      await rm(base, { recursive: true, force: true });
    });

    /** What each request was answered, until the server had enough. */
    async function attack(directory: BoxDirectory, trees: GivenTrees, area: string): Promise<FuseAnswers> {
      const limited = AbortSignal.timeout(limit(40_000));
      const program = await jailedProgram(join(assets, "bin/virtiofsd"), [], limited);
      const options = fileServerOptions(directory, { hasUserNamespace: mapped });
      const args = enterArguments({ ...program, name: "virtiofsd", args: virtiofsdArguments({}), options });
      await using log = await open(join(base, "fs.log"), "a");
      await using namespace = await BoxNamespace.open(native, mapped ? root : undefined);
      const server = await native.spawn({
        file: join(assets, "bin/a3s-box-launcher"),
        ...{
          args,
          env: [],
          cwd: "/",
          stdio: [null, log.fd, log.fd, ...givenDescriptors({ trees, userNamespace: namespace.given })],
          netns: null,
          newMountNamespace: false,
        },
        ...{ newIpcAndUts: true, newPidNamespace: true, cgroupProcs: [], maxOpenFiles: null, oomScoreAdj: null },
      });
      const watch = native.watchExit(server.pidfd);
      try {
        await waitForSocket(directory.fsSocket, limited);
        const client = await build("fuse-vhost-user", base, ["fuse-client"]);
        const said = promisify(execFile)(client, [directory.fsSocket, canary, area], { timeout: limit(30_000) });
        return byRequest((await said).stdout);
      } finally {
        await native.signalProcess(server.pidfd, 9);
        await watch.exited;
        await native.closeFd(server.pidfd);
      }
    }

    /** Numbers of all that is in the share, as the host sees it. */
    async function inodesOfShare(): Promise<Set<string>> {
      const paths = (await readdir(share, { recursive: true })).map((name) => join(share, name));
      const stats = await Promise.all([share, ...paths, ...nobodys].map((path) => stat(path).catch(() => undefined)));
      return new Set(stats.flatMap((one) => (one === undefined ? [] : [String(one.ino)])));
    }

    it('gets its own share by ".." and paths in names, and nothing else', async () => {
      expect(answers.get("INIT")).to.deep.equal(["0"]);
      const known = await inodesOfShare();
      const found = [...answers].filter(([request]) => /^LOOKUP /.test(request)).flatMap(([, all]) => all);
      const inodes = found.flatMap((answer) =>
        [.../ino=(\d+) mode=[45]/g[Symbol.matchAll](answer)].map(([, ino = ""]) => ino),
      );
      expect(inodes.length).to.be.greaterThan(5);
      for (const ino of inodes) expect(known.has(ino), `inode ${ino} is in the share`).to.equal(true);
      for (const name of ["../outside", "c/../../outside", "/etc/passwd", canary]) {
        expect(answers.get(`LOOKUP ${name}`), name).to.deep.equal(["ENOENT"]);
      }
    });

    it('makes, moves and removes nothing outside of its share, by names with ".." in them', async () => {
      for (const [request, [answer]] of answers) {
        if (/^(CREATE|MKDIR|UNLINK|RENAME|LINK) /.test(request))
          expect(answer, request).to.match(/^E(ROFS|XDEV|BADF|NOENT)$/);
      }
      expect(await readFile(canary, "utf8")).to.equal("untouched\n");
      expect((await readdir(base)).sort()).to.deep.equal([
        "base",
        "box",
        "canary",
        "fs.log",
        "fuse-vhost-user",
        "volume",
      ]);
      expect(await readdir(join(base, "base"))).to.deep.equal([]);
    });

    it("can't go through a symbolic link that it has made: the server opens none", async () => {
      expect(answers.get("SYMLINK to the canary")).to.deep.equal(["0"]);
      expect(answers.get("OPEN of the link")).to.deep.equal(["EBADF"]);
      expect(answers.get("SETATTR through the link")).to.deep.equal(["EBADF"]);
      expect(answers.get("LOOKUP x")).to.deep.equal(["ENOTDIR"]);
      expect(await readFile(canary, "utf8")).to.equal("untouched\n");
    });

    it("makes no device on a volume", async () => {
      expect(answers.get("MKNOD block device")).to.deep.equal(["EPERM"]);
      expect(await readdir(volume)).to.not.include("disk");
    });

    it("gets nothing for numbers of files and handles that it was never given", () => {
      expectNothingOfNumbers(answers);
    });

    it("ends its own server at worst by requests that are none", () => {
      expectNoHarmOfBrokenRequests(answers);
    });
  });
}
