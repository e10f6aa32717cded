/**
 * A Box that an earlier daemon has booted: its share is mounted on the host, and comes to the file server's jail by
 * propagation (docs/adr/0092). The daemon of today serves it until it ends.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { createLogger } from "../../src/base/log.js";
import { bootBox } from "../../src/vmm/boot-box.js";
import type { Box, BoxHandle, BoxSpec } from "../../src/vmm/box.js";
import { movedRoot } from "../../src/vmm/box-ids.js";
import { findProgram, qemuProgram } from "../../src/vmm/choose-driver.js";
import type { Driver } from "../../src/vmm/drivers/driver.js";
import { QemuDriver } from "../../src/vmm/drivers/qemu/qemu-driver.js";
import { launcherPath } from "../../src/vmm/probe.js";
import { probeOwners } from "../../src/vmm/share/probe-owners.js";
import { hostedShare } from "../support/hosted-share.js";
import { projectDirectory } from "../support/project.js";
import { skipBecause } from "../support/skip.js";
import { limit } from "../support/wait.js";
import { baseSpec } from "../oracle/bundles.js";
import { BoxBench, native, within } from "./bench-of-boxes.js";
import { startSession } from "./sessions.js";

const assets = process.env["A3S_TEST_ASSETS"] ?? join(projectDirectory, "build/assets");
const guestBase = join(assets, "guest");

describe("a Box of an earlier daemon, whose share is on the host", function () {
  this.timeout(limit(120_000));
  let bench: BoxBench;
  before(async function () {
    if (process.env["A3S_TEST_DRIVER"] === "krun") skipBecause(this, "the driver of both is the same in this");
    bench = await BoxBench.open();
  });
  after(async () => {
    await (bench as BoxBench | undefined)?.[Symbol.asyncDispose]();
  });

  const hostMounts = async (): Promise<string> => await readFile("/proc/self/mountinfo", "utf8");

  /** As that daemon's record has it. */
  async function bootedEarlier(spec: BoxSpec): Promise<BoxHandle> {
    const state = join(bench.directory, "state");
    const owners = await probeOwners({ native, state, layers: bench.directory, name: "probe" });
    const driver = await earlierDriver();
    const box = await bootBox(
      {
        ...{ native, log: createLogger("warn"), driver, state, guestBase, owners },
        ...{ bootTimeoutMs: limit(60_000), healthTimeoutMs: 0, cgroups: { manager: "cgroupfs", everywhere: false } },
        kernelParameters: ["a3s.runtime=own"],
      },
      spec,
      within(60_000),
    );
    box.agent.close("the daemon has ended");
    const { sharedBy, ...handle } = box.handle;
    expect(sharedBy).to.equal("server");
    return handle;
  }

  async function earlierDriver(): Promise<Driver> {
    const qemu = new QemuDriver(native, {
      launcher: launcherPath(assets),
      qemu: await findProgram(qemuProgram, undefined),
      virtiofsd: join(assets, "bin/virtiofsd"),
      kernel: join(assets, "kernel/vmlinux.elf"),
    });
    const { name, groups, idMapping, entersUserNamespace, mountsRecursiveReadOnly } = qemu;
    return {
      ...{ name, groups, idMapping, entersUserNamespace, mountsRecursiveReadOnly },
      start: async (request, signal) => {
        const ids = request.userNamespace === null ? null : movedRoot(request.userNamespace.root);
        const { layout, share } = request.directory;
        await native.removeTree(layout); // laid out once more, and mounted
        await native.removeTree(share);
        const { trees } = await hostedShare(native, request.directory, guestBase, ids);
        await using served = await trees();
        return await qemu.start({ ...request, trees: served.given }, signal);
      },
    };
  }

  async function read(box: Box, source: string): Promise<string> {
    const volume = await box.shareBind("volume", source, false);
    const session = await startSession(box, bench, {
      held: [volume.guestPath],
      spec: (root) => {
        const spec = baseSpec(root, "own", "/bin/busybox cat /volume/file; /bin/busybox touch /volume/made /made");
        spec.mounts.push({ destination: "/volume", type: "bind", source: volume.guestPath, options: ["rbind", "rw"] });
        return spec;
      },
    });
    const { stdout } = await session.ended();
    expect(await hostMounts()).to.include(` ${volume.hostPath} `);
    const looked = await box.lookAtShared(volume.hostPath, (path) => readFile(join(path, "file"), "utf8"));
    expect(looked).to.equal(stdout);
    expect((await box.mountedShared()).map(({ target }) => target)).to.include(volume.hostPath);
    await session.remove();
    await box.removeShared(volume.hostPath);
    return stdout;
  }

  it("is taken up, has containers and volumes made in it and taken away, is stopped, and leaves nothing", async () => {
    const spec = await bench.spec();
    const source = join(bench.directory, "volume");
    await mkdir(source);
    await writeFile(join(source, "file"), "of the host\n");
    const handle = await bootedEarlier(spec);
    await bench.reopen();
    const box = await bench.factory.adopt(spec.id, handle, within(20_000));
    if (box === null) throw new Error("it was not taken up");
    expect(await read(box, source)).to.equal("of the host\n");
    expect(await readFile(join(source, "made"), "utf8")).to.equal("");
    expect(await box.listShared()).to.deep.equal([]);
    await box.stop(0, within(20_000));
    await bench.discard(spec.id);
    expect(await bench.leftovers()).to.deep.equal([]);
  });
});
