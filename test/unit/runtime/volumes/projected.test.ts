import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { isProjected } from "../../../../src/runtime/volumes/projected.js";

describe("a volume that kubelet swaps as a whole", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "a3s-projected-"));
  });
  afterEach(async () => {
    await rm(folder, { recursive: true });
  });

  const version = async (target: string): Promise<void> => {
    await mkdir(join(folder, "..1"));
    await writeFile(join(folder, "..1/key"), "text");
    await symlink(target, join(folder, "..data"));
    await symlink("..data/key", join(folder, "key"));
  };

  it("is known by its link ..data to a neighbour", async () => {
    await version("..1");
    expect(await isProjected(folder)).to.equal(true);
  });

  it("is no folder whose ..data leads elsewhere, or is none", async () => {
    expect(await isProjected(folder)).to.equal(false);
    for (const target of ["/etc", "../x", "..1/y", "plain", "..data"]) {
      await rm(folder, { recursive: true });
      await mkdir(folder);
      await version(target);
      expect(await isProjected(folder), target).to.equal(false);
    }
    await rm(join(folder, "..data"));
    await mkdir(join(folder, "..data"));
    expect(await isProjected(folder)).to.equal(false);
  });

  it("is no file, and nothing that is not there", async () => {
    await writeFile(join(folder, "file"), "");
    expect(await isProjected(join(folder, "file"))).to.equal(false);
    expect(await isProjected(join(folder, "missing"))).to.equal(false);
  });

  it("is none when a copy of it would take too much of the guest's memory", async () => {
    await version("..1");
    await writeFile(join(folder, "..1/large"), Buffer.alloc(4 * 1024 * 1024 + 1));
    expect(await isProjected(folder)).to.equal(false);
    await rm(join(folder, "..1/large"));
    for (let index = 0; index < 512; index++) await writeFile(join(folder, `..1/${index}`), "");
    expect(await isProjected(folder)).to.equal(false);
  });
});
