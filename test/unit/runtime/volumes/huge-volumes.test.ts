import { chmod, mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { parseMountinfo, type MountLine } from "../../../../src/base/mountinfo.js";
import { UserNamespace } from "../../../../src/gen/runtime/v1/api.js";
import { guestPathOf, hugeVolume, mountOfPages } from "../../../../src/runtime/volumes/huge-volumes.js";

describe("a volume of huge pages", () => {
  let directory: string;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "huge-"));
    await mkdir(join(directory, "sub"));
    await chmod(join(directory, "sub"), 0o2770);
    await writeFile(join(directory, "file"), "");
  });
  after(async () => {
    await rm(directory, { recursive: true });
  });

  const line = (root: string, target: string, options = "rw,pagesize=2M"): MountLine => {
    const [parsed] = parseMountinfo(`44 27 0:41 ${root} ${target} rw,relatime - hugetlbfs none ${options}\n`);
    if (parsed === undefined) throw new Error("no line");
    return parsed;
  };

  it("is one whose source is on a hugetlbfs, whatever is above it", () => {
    const below = line("/", "/vols/pages");
    const root = { ...line("/", "/"), type: "ext4" };
    expect(mountOfPages("/vols/pages/a", [root, below])).to.equal(below);
    for (const path of ["/vols/pages2", "/vols", "/"]) expect(mountOfPages(path, [root, below])).to.equal(undefined);
  });

  it("has the page size, the options, the owner and the permissions of the host's", async () => {
    const found = await hugeVolume(
      directory,
      line("/", directory, "rw,mode=700,nr_inodes=9,pagesize=2048K,size=8388608"),
      [2048n],
      undefined,
    );
    const { uid, gid, mode } = await stat(directory);
    expect(found).to.deep.equal({
      name: "0-41",
      fileSystem: "0-41",
      path: "",
      pageKib: 2048n,
      sizeBytes: 8_388_608n,
      minSizeBytes: 0n,
      inodes: 9n,
      ...{ uid, gid, mode: mode & 0o7777 },
    });
    expect(guestPathOf(found)).to.equal("/run/hugepages/0-41");
  });

  it("is the same file system for each directory of it, also by another mount of it", async () => {
    const sub = join(directory, "sub");
    const [inside, bound] = [
      await hugeVolume(sub, line("/", directory), [2048n], undefined),
      await hugeVolume(sub, line("/sub", sub), [2048n], undefined),
    ];
    expect(inside).to.deep.equal(bound);
    expect([inside.fileSystem, inside.path, inside.mode]).to.deep.equal(["0-41", "sub", 0o2770]);
    expect(inside.name).to.match(/^0-41-[0-9a-f]{16}$/);
  });

  it("has the owner that its pod's user namespace shows", async () => {
    const ids = [{ hostId: 100_000, containerId: 0, length: 65_536 }];
    const users = UserNamespace.fromPartial({ uids: ids, gids: [{ hostId: 200_000, containerId: 0, length: 0 }] });
    const { uid } = await stat(directory);
    const found = await hugeVolume(directory, line("/", directory), [2048n], users);
    expect([found.uid, found.gid]).to.deep.equal([100_000 + uid, 65_534]);
  });

  it("is refused where the guest has no pages of its size, and where it is a file", async () => {
    const complaint = async (volume: Promise<unknown>): Promise<string> => await volume.then(() => "none", String);
    const large = hugeVolume(directory, line("/", directory, "rw,pagesize=1024M"), [2048n], undefined);
    expect(await complaint(large)).to.match(/no huge pages of 1GB: its kernel has 2MB/);
    const file = hugeVolume(join(directory, "file"), line("/", directory), [2048n], undefined);
    expect(await complaint(file)).to.match(/is a file with huge pages.*mount its directory/);
  });
});
