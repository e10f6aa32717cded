/** A sandbox writes past its disk, in every way that it has, and another one does not notice. */
import { expect } from "chai";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { codeOf } from "../../../src/base/errors.js";
import { neverAborted } from "../../../src/base/signals.js";
import { execAndWait } from "../../../src/runtime/exec/exec.js";
import type { FileScope } from "../../../src/sandboxes/core/file.js";
import type { SandboxView } from "../../../src/sandboxes/core/sandbox.js";
import { loopFiles, mib, mountsIn } from "../../support/bounded-disks.js";
import { freshCore, openCore, someCaller, wantedSandbox, type TestCore } from "../../support/sandboxes/open-core.js";
import { eventually } from "../../support/wait.js";

const diskMib = 64;
const asRoot: FileScope = { user: "root" };

describe("the disk of a sandbox", () => {
  let core: TestCore;
  let full: SandboxView;
  let other: SandboxView;
  before(async () => {
    core = await freshCore();
    [full, other] = await Promise.all([create(), create()]);
  });
  after(async () => {
    await core.remove();
  });

  const create = async (): Promise<SandboxView> =>
    await core.sandboxes.create(someCaller, wantedSandbox({ diskMib }), neverAborted);

  const shell = async ({ containerId }: SandboxView, script: string): Promise<string> => {
    const container = core.engine.containers.require(containerId);
    const args = ["sh", "-c", `${script} 2>&1`];
    const { stdout } = await execAndWait(container, args, 60_000, core.engine, neverAborted);
    return stdout.toString().trim();
  };

  it("is what df shows in it, and what is in its usage", async () => {
    const [kib] = (await shell(full, "df -k / | tail -n 1")).match(/(?<=\s)\d+(?=\s)/) ?? [];
    expect(Number(kib) / 1024).to.be.within(diskMib - 5, diskMib);
    await shell(full, "dd if=/dev/zero of=/tmp/ten bs=1M count=10; sync");
    const usage = await core.sandboxes.usage(someCaller, full.id, neverAborted);
    expect(usage.diskTotalBytes).to.equal(Number(kib) * 1024);
    expect(usage.diskUsedBytes / mib).to.be.within(10, 12);
  });

  it("takes no byte past its end, and leaves another one's alone", async () => {
    const said = await shell(full, "dd if=/dev/zero of=/big bs=1M count=100");
    expect(said).to.match(/big.*No space left on device/);
    const bytes = Number(await shell(full, "stat -c %s /big"));
    expect(bytes / mib).to.be.within(40, diskMib - 5);
    expect(await shell(other, "dd if=/dev/zero of=/big bs=1M count=40 && sync && stat -c %s /big")).to.match(
      /41943040$/,
    );
  });

  it("refuses a file that is larger than it, of which nothing is left", async () => {
    const files = core.sandboxes.files(someCaller, full.id);
    const thrown = await files
      .write("/root/large", asRoot, zeros(100), { parents: false }, neverAborted)
      .catch((caught: unknown) => caught);
    expect(codeOf(thrown)).to.equal("resourceExhausted");
    const { entries } = await files.list("/root", asRoot, { depth: 1, limit: 10 }, neverAborted);
    expect(entries).to.deep.equal([]);
  });

  it("can be looked into and made room in while it is full, by who may have come after it was", async () => {
    await core.close();
    core = await openCore(core.base);
    const files = await eventually("it is taken up", 30_000, () => {
      try {
        return core.sandboxes.files(someCaller, full.id);
      } catch {
        return undefined;
      }
    });
    await eventually("its Box is found again", 30_000, async () => {
      const found = await files.stat("/big", asRoot, true, neverAborted).catch(() => undefined);
      return found === undefined ? undefined : true;
    });
    expect(core.sandboxes.get(someCaller, full.id).diskMib).to.equal(diskMib);
    await files.remove("/big", asRoot, false, neverAborted);
    await shell(full, "sync");
    const usage = await core.sandboxes.usage(someCaller, full.id, neverAborted);
    expect(usage.diskUsedBytes / mib).to.be.below(14);
    expect(await shell(full, "echo more > /home/more && cat /home/more")).to.equal("more");
  });

  it("is no mount of the host's, and goes with its sandbox while it is full", async () => {
    const root = join(core.base, "root");
    expect((await mountsIn(core.base)).filter((target) => target.startsWith(root))).to.deep.equal([]);
    expect(await loopFiles(core.base)).to.have.length(2);
    await shell(full, "dd if=/dev/zero of=/big bs=1M count=100");
    await core.sandboxes.end(someCaller, full.id, neverAborted);
    await core.sandboxes.end(someCaller, other.id, neverAborted);
    await eventually(
      "no loop device is left",
      10_000,
      async () => (await loopFiles(core.base)).length === 0 || undefined,
    );
    expect(await readdir(join(root, "images/containers"))).to.deep.equal([]);
    expect(await readFile("/proc/self/mountinfo", "utf8")).to.not.include(root);
  });
});

async function* zeros(count: number): AsyncGenerator<Uint8Array> {
  const block = new Uint8Array(mib);
  for (let at = 0; at < count; at++) yield await Promise.resolve(block);
}
