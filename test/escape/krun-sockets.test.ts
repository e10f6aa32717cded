/** A guest that has taken libkrun over, and its sockets: the directory that it shares with the daemon. */
import { expect } from "chai";
import { existsSync } from "node:fs";
import { lstat, mkdir, mkdtemp, readFile, rm, stat, statfs, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mountsBelow, readMountinfo } from "../../src/base/mountinfo.js";
import { boxId } from "../../src/base/ids.js";
import { loadNative, type SpawnedProcess } from "../../src/native/addon.js";
import { connectAgent } from "../../src/vmm/agent/connect-agent.js";
import { movedRoot, serverRootOf } from "../../src/vmm/box-ids.js";
import { boxDirectoryAt, type BoxDirectory } from "../../src/vmm/box-directory.js";
import { KrunDriver } from "../../src/vmm/drivers/krun/krun-driver.js";
import type { GivenTrees } from "../../src/vmm/share/share-trees.js";
import { FakeAgent } from "../unit/vmm/agent/fake-agent.js";
import { BoxNamespace } from "../../src/vmm/user-namespace.js";
import { hostedShare } from "../support/hosted-share.js";
import { needsMappedOwners } from "../support/mapped-owners.js";
import { projectDirectory } from "../support/project.js";
import { skipBecause } from "../support/skip.js";
import { eventually, limit } from "../support/wait.js";
import { buildLibrary } from "./build.js";

const assets = join(projectDirectory, "build/assets");
const id = boxId("c5".repeat(32));
const root = serverRootOf(id);

for (const mapped of [true, false]) {
  describe(`a guest that has taken libkrun over, at the sockets that it shares with the daemon${mapped ? "" : ", where the kernel maps no owners"}`, function () {
    this.timeout(limit(60_000));
    const { native } = loadNative(assets);
    let base: string;
    let directory: BoxDirectory;
    let victim: FakeAgent;
    let vmm: SpawnedProcess | undefined;
    const said = (): Promise<string> => readFile(directory.vmmLog, "utf8").catch(() => "");

    before(async function () {
      if (!existsSync("/dev/kvm")) skipBecause(this, "the launcher opens /dev/kvm before its jail closes");
      base = await mkdtemp(join(tmpdir(), "a3s-ks-"));
      if (mapped) await needsMappedOwners(this, native, base);
      directory = boxDirectoryAt(join(base, "box"));
      victim = await FakeAgent.start({});
      await Promise.all(["box", "base"].map((name) => mkdir(join(base, name))));
      await writeFile(join(base, "kernel"), "");
      for (const path of [directory.sockets, directory.logs]) await mkdir(path, { mode: 0o700 });
      const { trees } = await hostedShare(native, directory, join(base, "base"), mapped ? movedRoot(root) : null);
      await using served = await trees();
      const libkrun = join(base, "libkrun.so.1");
      await buildLibrary(libkrun, ["krun-taken-over"]);
      const programs = { launcher: join(assets, "bin/a3s-box-launcher"), libkrun, kernel: join(base, "kernel") };
      await start(new KrunDriver(native, programs), served.given);
      await eventually("it has filled what it can", 30_000, async () =>
        /^bytes /m.test(await said()) ? true : undefined,
      );
    });

    after(async () => {
      if (vmm !== undefined) {
        const watch = native.watchExit(vmm.pidfd);
        await native.signalProcess(vmm.pidfd, 9);
        await watch.exited;
        await native.closeFd(vmm.pidfd);
      }
      await (victim as FakeAgent | undefined)?.[Symbol.asyncDispose]();
      for (const target of mountsBelow(await readMountinfo(), base)) await native.unmount(target, true);
      await rm(base, { recursive: true, force: true });
    });

    async function start(driver: KrunDriver, trees: GivenTrees): Promise<void> {
      await using namespace = await BoxNamespace.open(native, mapped ? root : undefined);
      const started = await driver.start(
        {
          spec: { id, vcpus: 1, memoryMib: 64, netnsPath: "/proc/self/ns/net", tap: null, cgroupParent: "" },
          directory,
          cgroup: { path: "", procs: [] },
          userNamespace: namespace.given,
          trees,
          kernelParameters: [`victim=${victim.socketPath}`],
          started: (_role, process) => {
            vmm = process;
            return Promise.resolve();
          },
        },
        AbortSignal.timeout(limit(30_000)),
      );
      started.dialable.catch(() => undefined);
    }

    it("has a file system of their own, which it can fill, and nothing beside it", async () => {
      const [, files = ""] = /^files (\d+)$/m.exec(await said()) ?? [];
      const [, bytes = ""] = /^bytes (\d+)$/m.exec(await said()) ?? [];
      expect(Number(files)).to.be.within(1, 16);
      expect(Number(bytes)).to.be.within(1, 64 * 1024);
      const { blocks, bsize } = await statfs(directory.sockets);
      expect(blocks * bsize).to.equal(64 * 1024);
      expect((await stat(directory.sockets)).dev).to.not.equal((await stat(directory.path)).dev);
      expect(await stat(directory.sockets)).to.include(mapped ? { uid: root, gid: root } : { uid: 0, gid: 0 });
    });

    it("leads the daemon to no other Box by a link in the place of its socket", async () => {
      const agent = connectAgent({ socketPath: directory.agentSocket, booting: null }, id);
      const greeted = agent.hello(AbortSignal.timeout(limit(2_500))).then(
        () => true,
        () => false,
      );
      await eventually("the link is there", 5_000, async () => (/^led to /m.test(await said()) ? true : undefined));
      expect(await greeted).to.equal(false);
      agent.close("the test is over");
      expect((await lstat(directory.agentSocket)).isSymbolicLink()).to.equal(true);
      expect(victim.attempts).to.equal(0);
    });
  });
}
