/**
 * Needs a kernel with quotas of projects, which that of a nested VM has (`npm run test:krun` runs this file there, docs/adr/0110);
 * elsewhere it is skipped.
 */
import { expect } from "chai";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, open, realpath, rm, rmdir, stat, statfs, unlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { messageOf } from "../../src/base/errors.js";
import { neverAborted } from "../../src/base/signals.js";
import type { Image, ImageStore, SnapshotWanted, WritableSnapshot } from "../../src/image/image-store.js";
import { inodesOf } from "../../src/image/snapshot/disk/bound.js";
import { loadNative, type ProjectUse } from "../../src/native/addon.js";
import { fill, fillInodes, mib, storeIn } from "../support/bounded-disks.js";
import { openTestStore } from "../support/image-store.js";
import { projectDirectory } from "../support/project.js";
import { skipBecause } from "../support/skip.js";
import { eventually } from "../support/wait.js";

const { native } = loadNative(join(projectDirectory, "build/assets"));
const run = promisify(execFile);
const sizeMib = 16;
const bound = { bytes: BigInt(sizeMib * mib), by: "auto" } as const;

interface Kind {
  readonly name: string;
  readonly make: readonly string[];
  readonly sizeMib: number;
  /** What who writes past it is told. */
  readonly full: string;
}

const kinds: readonly Kind[] = [
  { name: "ext4", make: ["mke2fs", "-q", "-F", "-t", "ext4", "-O", "quota,project"], sizeMib: 200, full: "EDQUOT" },
  { name: "xfs", make: ["mkfs.xfs", "-q"], sizeMib: 400, full: "ENOSPC" },
];

for (const kind of kinds) {
  describe(`a project quota of ${kind.name}`, () => {
    let directory: string;
    let disk: string;
    let store: ImageStore;
    let image: Image;
    let open = false;
    before(async function () {
      directory = await realpath(await mkdtemp(join(tmpdir(), "a3s-quota-")));
      disk = join(directory, "disk");
      try {
        await mountWithQuota(kind, directory, disk);
      } catch (thrown) {
        await rm(directory, { recursive: true });
        skipBecause(this, messageOf(thrown).split("\n").slice(0, 2).join(" "));
      }
      ({ store, image } = await storeIn(disk));
      open = true;
    });
    after(async () => {
      if (!open) return; // skipped
      await store.close();
      await native.unmount(disk, false);
      await rm(directory, { recursive: true });
    });
    afterEach(async () => {
      for (const key of await store.listSnapshots()) await store.removeSnapshot(key, neverAborted);
      // XFS takes removed files off the project a little later.
      await eventually("no project is left", 20_000, async () => (await limited(disk)).length === 0 || undefined);
    });

    const prepare = async (key: string, wanted: SnapshotWanted = {}): Promise<WritableSnapshot> =>
      await store.prepareSnapshot(key, image, neverAborted, { bound, ...wanted });

    /** As a Box has it, with a map that this process is in, or a pod of the host. */
    const overlay = async (snapshot: WritableSnapshot, mapped: boolean): Promise<string> => {
      const target = await mkdtemp(join(directory, "root-"));
      const ids = mapped ? { extents: [{ inside: 0, outside: 0, count: 2_000_000_000 }] } : null;
      const flags = { readonly: false, nosuid: true, nodev: true };
      const { lowers, upper, work, boundBy } = snapshot;
      const mount = { lowers, upper, work, target, flags, index: true, ids, mapsUpper: mapped };
      await native.mountOverlay({ ...mount, obeysQuotas: boundBy === "quota" });
      return target;
    };

    for (const mapped of [true, false]) {
      it(`holds ${mapped ? "a Box's" : "a host pod's"} container to its size, and leaves others theirs`, async () => {
        const [one, two] = [await prepare("c1"), await prepare("c2")];
        expect([one.boundBy, two.boundBy]).to.deep.equal(["quota", "quota"]);
        const [full, other] = [await overlay(one, mapped), await overlay(two, mapped)];
        const { errno, mib: written } = await fill(full, 2 * sizeMib);
        expect([errno, written]).to.deep.equal([kind.full, written]);
        expect(written).to.be.within(sizeMib - 2, sizeMib);
        expect((await fill(other, 4)).errno).to.equal("none");
        const { bsize, blocks, bfree } = await statfs(full);
        expect(blocks * bsize).to.equal(sizeMib * mib);
        expect(bfree * bsize).to.be.below(2 * mib);
        await unlink(join(full, "full-0"));
        expect((await fill(full, 1)).errno).to.equal("none");
        for (const target of [full, other]) {
          await native.unmount(target, false);
          await rmdir(target);
        }
      });
    }

    it("holds so many files, and counts volumes of the image with the root", async () => {
      const small = { ...bound, bytes: BigInt(4 * mib) };
      const snapshot = await prepare("c1", { declared: ["/data"], bound: small });
      const [project = 0] = (await limited(disk)).map(({ id }) => id);
      expect(await native.projectOf(snapshot.declared[0] ?? "")).to.equal(project);
      const root = await overlay(snapshot, true);
      const most = Number(inodesOf(small.bytes));
      const { errno, files } = await fillInodes(root, most + 1);
      expect([errno, files]).to.deep.equal([kind.full, files]);
      expect(files).to.be.within(most - 100, most);
      await native.unmount(root, false);
      await rmdir(root);
    });

    it("takes projects that nobody has, and the next daemon gives back what a dead one left", async () => {
      await Promise.all(Array.from({ length: 8 }, (_, at) => prepare(`c${String(at)}`)));
      const ids = (await limited(disk)).map(({ id }) => id);
      expect(new Set(ids).size).to.equal(8);
      const [lost = 0] = ids;
      const stray = lost === 0x4000_0000 ? lost + 1 : lost - 1;
      await native.limitProject(disk, stray, 1_048_576n, 10n);
      await native.limitProject(disk, 1_048_577, 1_048_576n, 10n); // kubelet's
      await (await openTestStore(join(disk, "images"))).close();
      const left = (await limited(disk)).map(({ id }) => id);
      expect(left).to.deep.equal([1_048_577, ...ids]);
      await native.limitProject(disk, 1_048_577, 0n, 0n);
    });
  });
}

/** Those that have limits, or anything in them, by their numbers. */
async function limited(disk: string): Promise<ProjectUse[]> {
  const found: ProjectUse[] = [];
  for (let from = 1; ;) {
    const use = await native.nextProject(disk, from);
    if (use === null) return found;
    if (use.inodes > 0n || use.maxBytes > 0n || use.maxInodes > 0n) found.push(use);
    from = use.id + 1;
  }
}

async function mountWithQuota({ name, make, sizeMib: size }: Kind, directory: string, disk: string): Promise<void> {
  const file = join(directory, "image");
  const made = await open(file, "wx");
  await made.truncate(size * mib);
  await made.close();
  const [program = "", ...args] = make;
  await run(program, [...args, file], { env: { PATH: "/usr/sbin:/sbin:/usr/bin:/bin" } });
  await mkdir(disk);
  await run("mount", ["-t", name, "-o", "loop,prjquota", file, disk]);
  expect((await stat(disk)).isDirectory()).to.equal(true);
  expect(await native.boundsProjects(disk)).to.equal(true);
}
