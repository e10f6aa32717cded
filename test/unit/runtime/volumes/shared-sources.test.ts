import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { newContainerId, newBoxId, type ContainerId } from "../../../../src/base/ids.js";
import { hostSource, SharedSources, type SharedBy } from "../../../../src/runtime/volumes/shared-sources.js";
import type { Box, SharedPath } from "../../../../src/vmm/box.js";

describe("SharedSources", () => {
  let directory: string;
  let recorded: SharedBy[];
  let box: Box;
  let sources: SharedSources;
  const [one, two] = [newContainerId(), newContainerId()];

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "sources-"));
    await mkdir(join(directory, "share"));
    await writeFile(join(directory, "file"), "");
    recorded = [];
    let count = 0;
    // a link stands for a bind: both have device and inode of their source
    const fake = {
      id: newBoxId(),
      async shareBind(name: string, source: string): Promise<SharedPath> {
        const hostPath = join(directory, "share", `${name}-${String(count++)}`);
        await symlink(source, hostPath);
        return { hostPath, guestPath: `/v/${name}-${String(count - 1)}` };
      },
      removeShared: (hostPath: string) => rm(hostPath, { force: true }),
      lookAtShared: <T>(hostPath: string, look: (path: string) => Promise<T>) => look(hostPath),
    };
    box = fake as unknown as Box;
    sources = new SharedSources(() => recorded);
  });
  afterEach(() => rm(directory, { recursive: true }));

  const share = async (owner: ContainerId, readonly = false): Promise<SharedPath> =>
    await sources.share(box, owner, await hostSource(join(directory, "file"), [], []), readonly);
  const shared = async (path: SharedPath): Promise<boolean> => {
    const { readlink } = await import("node:fs/promises");
    return await readlink(path.hostPath).then(
      () => true,
      () => false,
    );
  };

  it("give all containers of a pod the same place, also those that come at the same time", async () => {
    const [first, second] = await Promise.all([share(one), share(two)]);
    expect(second).to.deep.equal(first);
    await sources.release(box, one, first.hostPath);
    expect(await shared(first)).to.equal(true);
    await sources.release(box, one, first.hostPath); // a repeat takes nothing from the other one
    expect(await shared(first)).to.equal(true);
    await sources.release(box, two, first.hostPath);
    expect(await shared(first)).to.equal(false);
  });

  it("find the places of containers that were there before the daemon, and keep them for these", async () => {
    const first = await share(one);
    recorded = [{ id: one, paths: [first.hostPath] }];
    sources = new SharedSources(() => recorded);
    expect(await share(two)).to.deep.equal(first);
    await sources.release(box, two, first.hostPath);
    expect(await shared(first)).to.equal(true);
  });

  it("give a reader the writers' place, and a writer none that is read-only", async () => {
    const read = await share(one, true);
    const written = await share(two);
    expect(written).to.not.deep.equal(read);
    expect(await share(newContainerId(), true)).to.deep.equal(written);
  });

  it("make a new place for another file of the same name, and when something else is mounted in it", async () => {
    const first = await share(one);
    const mount = {
      mountId: 9,
      device: "0:9",
      root: "/",
      target: join(directory, "file"),
      type: "tmpfs",
      propagation: [],
      superOptions: [],
    };
    const covered = await hostSource(join(directory, "file"), [mount], []);
    expect(await sources.share(box, two, covered, false)).to.not.deep.equal(first);
    const own = await hostSource(join(directory, "file"), [mount], [directory]);
    expect(await sources.share(box, two, own, false)).to.deep.equal(first);
    await writeFile(join(directory, "other"), "");
    await rename(join(directory, "other"), join(directory, "file"));
    expect(await share(two)).to.not.deep.equal(first);
  });

  it("don't give a place that is gone while its container is still there", async () => {
    const first = await share(one);
    recorded = [{ id: one, paths: [first.hostPath] }];
    sources.settled(one);
    await sources.release(box, one, first.hostPath);
    expect(await share(two)).to.not.deep.equal(first);
  });
});
