import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { isProjected } from "../../../../src/runtime/volumes/projected.js";

describe("a volume that kubelet swaps as a whole", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "a3s-projected-"));
  });
  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  const version = async (target: string): Promise<void> => {
    await mkdir(join(directory, "..1"));
    await writeFile(join(directory, "..1/key"), "text");
    await symlink(target, join(directory, "..data"));
    await symlink("..data/key", join(directory, "key"));
  };

  it("is known by its link ..data to a neighbour", async () => {
    await version("..1");
    expect(await isProjected(directory)).to.equal(true);
  });

  it("is no directory whose ..data leads elsewhere, or is none", async () => {
    expect(await isProjected(directory)).to.equal(false);
    for (const target of ["/etc", "../x", "..1/y", "plain", "..data"]) {
      await rm(directory, { recursive: true });
      await mkdir(directory);
      await version(target);
      expect(await isProjected(directory), target).to.equal(false);
    }
    await rm(join(directory, "..data"));
    await mkdir(join(directory, "..data"));
    expect(await isProjected(directory)).to.equal(false);
  });

  it("is no file, and nothing that is not there", async () => {
    await writeFile(join(directory, "file"), "");
    expect(await isProjected(join(directory, "file"))).to.equal(false);
    expect(await isProjected(join(directory, "missing"))).to.equal(false);
  });

  it("is none when a copy of it would take too much of the guest's memory", async () => {
    await version("..1");
    await writeFile(join(directory, "..1/large"), Buffer.alloc(4 * 1024 * 1024 + 1));
    expect(await isProjected(directory)).to.equal(false);
    await rm(join(directory, "..1/large"));
    for (let index = 0; index < 512; index++) await writeFile(join(directory, `..1/${index}`), "");
    expect(await isProjected(directory)).to.equal(false);
  });
});
