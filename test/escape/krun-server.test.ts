/**
 * The same guest as in file-server.test.ts, whose kernel is hostile, before libkrun's file server: the device itself with
 * its queue, in the launcher's jail, without a machine around it.
 */
import { expect } from "chai";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, readdir, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { loadNative } from "../../src/native/addon.js";
import { mountsBelow, readMountinfo } from "../../src/base/mountinfo.js";
import type { GivenTrees } from "../../src/vmm/share/share-trees.js";
import { movedRoot } from "../../src/vmm/box-ids.js";
import { boxDirectoryAt } from "../../src/vmm/box-directory.js";
import { BoxNamespace } from "../../src/vmm/user-namespace.js";
import { hostedShare } from "../support/hosted-share.js";
import { needsMappedOwners } from "../support/mapped-owners.js";
import { projectDirectory } from "../support/project.js";
import { skipBecause } from "../support/skip.js";
import { limit } from "../support/wait.js";
import { buildLibrary } from "./build.js";
import { byRequest, expectNoHarmOfBrokenRequests, expectNothingOfNumbers, type FuseAnswers } from "./fuse-answers.js";

const assets = join(projectDirectory, "build/assets");
/** What root of its user namespace is on the host. */
const root = 0x8000_cafe;
const files = 250;

interface Ended {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number | null;
}

for (const mapped of [true, false]) {
  describe(`libkrun's file server, of a guest's kernel that lies${mapped ? "" : ", where the kernel maps no owners"}`, function () {
    this.timeout(limit(60_000));
    let base: string;
    let canary: string;
    let volume: string;
    let area: string;
    let ended: Ended;
    let answers: FuseAnswers;
    const { native } = loadNative(assets);

    before(async function () {
      if (!existsSync("/dev/kvm")) skipBecause(this, "the launcher opens /dev/kvm before its jail closes");
      base = await realpath(await mkdtemp(join(tmpdir(), "a3s-kfs-")));
      if (mapped) await needsMappedOwners(this, native, base);
      canary = join(base, "canary");
      volume = join(base, "volume");
      await writeFile(canary, "untouched\n");
      await writeFile(join(base, "kernel"), "");
      await Promise.all(["box", "base", "volume", "sockets"].map((name) => mkdir(join(base, name))));
      await mkdir(join(volume, "inner"));
      for (let at = 0; at < files; at++) await writeFile(join(volume, String(at).padEnd(at + 3, "x")), "");
      const directory = boxDirectoryAt(join(base, "box"));
      const { guest, trees } = await hostedShare(
        native,
        directory,
        join(base, "base"),
        mapped ? movedRoot(root) : null,
      );
      await writeFile(join(directory.layout, "inside"), "");
      const { hostPath } = await guest.bind("area", volume, { readonly: false, recursive: true, without: [] });
      area = hostPath;
      await using served = await trees();
      ended = await attack(directory.share, served.given);
      answers = byRequest(ended.stdout);
    });

    after(async () => {
      for (const target of mountsBelow(await readMountinfo(), base)) await native.unmount(target, true);
      await rm(base, { recursive: true, force: true });
    });

    async function attack(share: string, trees: GivenTrees): Promise<Ended> {
      const library = join(base, "libkrun.so.1");
      await buildLibrary(library, ["fuse-in-process", "fuse-client"], [join(assets, "lib/libkrun_file_server.so")]);
      await using namespace = await BoxNamespace.open(native, mapped ? root : undefined);
      const { given } = namespace;
      const config = {
        ...{ libkrun: library, kernel: join(base, "kernel"), cmdline: `${canary} ${area.slice(share.length + 1)}` },
        ...{ vcpus: "1", memory_mib: "64", tag: "podroot", socket_directory: join(base, "sockets") },
        ...{ share: "3", base: "4", console: join(base, "console") },
        ...(given === null ? {} : { userns: "5" }),
      };
      const lines = Object.entries(config).map(([key, value]) => `${key}=${value}\n`);
      await writeFile(join(base, "config"), lines.join(""));
      const child = spawn(join(assets, "bin/a3s-box-launcher"), ["run", join(base, "config")], {
        stdio: ["ignore", "pipe", "pipe", trees.share, trees.base, ...(given === null ? [] : [given.fd])],
        timeout: limit(30_000),
        killSignal: "SIGKILL",
      });
      const closed = once(child, "close");
      const said = async (out: typeof child.stdout): Promise<string> => (out === null ? "" : await text(out));
      const [stdout, stderr] = await Promise.all([said(child.stdout), said(child.stderr)]);
      await closed;
      return { stdout, stderr, code: child.exitCode };
    }

    it("serves its share to a guest that asks as guests do", () => {
      expect(answers.get("INIT"), ended.stderr).to.deep.equal(["0"]);
      expect(answers.get("LOOKUP inside")?.[0]).to.match(/^0 ino=\d+ mode=100644$/);
      expect(answers.get("SYMLINK to the canary")).to.deep.equal(["0"]);
      expect(ended).to.include({ code: 0 });
    });

    it("takes no name that is none, in any request: nothing of it gets to the host", async () => {
      const requests = "LOOKUP,CREATE,MKDIR,MKNOD,SYMLINK,LINK,UNLINK,RMDIR,RENAME of,RENAME to,RENAME2 of,RENAME2 to";
      const tried = [...answers].filter(([request]) => request.startsWith("name: ") && request.endsWith('"'));
      expect(tried).to.have.length(15 * requests.split(",").length);
      for (const request of requests.split(",")) {
        const own = tried.filter(([name]) => name.startsWith(`name: ${request} "`));
        expect(own, request).to.have.length(15);
        for (const [name, said] of own) expect(said, name).to.deep.equal(["EINVAL"]);
      }
      for (const name of ["with a NUL in it", "without a NUL"]) {
        expect(answers.get(`name: LOOKUP ${name}`), "is given back without an answer").to.deep.equal(["ENODATA"]);
      }
      expect(await readdir(join(volume, "inner"))).to.deep.equal([]);
      expect(await readdir(join(base, "sockets"))).to.deep.equal([]);
    });

    it("leads nowhere by names with paths in them, nor by links: what is outside of the share stays as it was", async () => {
      for (const name of ["..", ".", "../outside", "c/../../outside", "/etc/passwd", "c/..", canary, ""]) {
        expect(new Set(answers.get(`LOOKUP ${name}`)), name).to.deep.equal(new Set(["EINVAL"]));
      }
      for (const [request, [answer]] of answers) {
        if (/^(CREATE|MKDIR|UNLINK|RENAME|LINK) .*\.\./.test(request)) expect(answer, request).to.equal("EINVAL");
      }
      expect(answers.get("CREATE at the top")).to.deep.equal(["EROFS"]);
      expect(answers.get("CREATE through the link")).to.deep.equal(["ELOOP"]);
      expect(answers.get("OPEN of the link")).to.deep.equal(["ELOOP"]);
      expect(answers.get("SETATTR through the link")).to.deep.equal(["ELOOP"]);
      expect(answers.get("LOOKUP x")).to.deep.equal(["ENOTDIR"]);
      expect(await readFile(canary, "utf8")).to.equal("untouched\n");
      const made = ["base", "box", "canary", "config", "console", "kernel", "libkrun.so.1", "sockets", "volume"];
      expect((await readdir(base)).sort()).to.deep.equal(made);
      expect(await readdir(join(base, "base"))).to.deep.equal([]);
    });

    it("makes no device on a volume", async () => {
      expect(answers.get("MKNOD block device")).to.deep.equal(["EPERM"]);
      expect(answers.get("LOOKUP disk")).to.deep.equal(["ENOENT"]);
      expect(await readdir(volume)).to.not.include("disk");
    });

    it("gets nothing for numbers of files and handles that it was never given", () => {
      expectNothingOfNumbers(answers);
    });

    it("has open what the guest knows and nothing else once a directory has been listed, however it was", () => {
      // Beside the files: the directory in it, the link that was made here, "." and "..", which have no node.
      const listed = `0 ${String(files + 4)} names, 2 without a node, 0 more open`;
      for (const size of [4096, 700]) {
        expect(answers.get(`READDIRPLUS by ${String(size)}`), String(size)).to.deep.equal([listed]);
      }
    });

    it("ends its own server at worst by requests that are none", () => {
      expectNoHarmOfBrokenRequests(answers);
    });
  });
}
