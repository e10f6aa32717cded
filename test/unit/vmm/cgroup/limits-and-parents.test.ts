import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { RuntimeError } from "../../../../src/base/errors.js";
import { cgroupHierarchies } from "../../../../src/base/cgroups.js";
import { limitFactsOf, requireUnifiedCgroup } from "../../../../src/vmm/cgroup/limit-facts.js";
import { isBoundedIn, limitsIn } from "../../../../src/vmm/cgroup/parent-limits.js";
import { cgroupParentPath } from "../../../../src/vmm/cgroup/plan.js";
import { mountsBelow, parseMountinfo } from "../../../../src/base/mountinfo.js";

const hybrid = parseMountinfo(
  [
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755",
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct",
    "37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer",
    "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd",
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw",
    "",
  ].join("\n"),
);

describe("the host's control groups", () => {
  it("are found on a hybrid host: each v1 mount that limits or accounts, and the unified one", () => {
    expect(cgroupHierarchies(hybrid)).to.deep.equal([
      { version: 1, mountPoint: "/sys/fs/cgroup/cpu,cpuacct", controllers: ["cpu", "cpuacct"] },
      { version: 2, mountPoint: "/sys/fs/cgroup/unified", controllers: [] },
    ]);
  });

  it("get a parent of our own when the sandbox names none", () => {
    expect(cgroupParentPath("")).to.equal("/a3s-box");
    expect(cgroupParentPath("/")).to.equal("/a3s-box");
    expect(cgroupParentPath("/kubepods//pod1/")).to.equal("/kubepods/pod1");
    expect(cgroupParentPath("kubepods.slice")).to.equal("/kubepods.slice");
  });

  it("include those that nothing of ours is limited by, for what has groups of containers", () => {
    const targets = cgroupHierarchies(hybrid, true).map(({ mountPoint }) => mountPoint);
    expect(targets).to.include("/sys/fs/cgroup/freezer").and.to.include("/sys/fs/cgroup/systemd");
  });

  it("must have version 2 among them for pods of the host, on a kernel that kills by group", () => {
    expect(() => {
      requireUnifiedCgroup(hybrid, "6.1.0-13-amd64");
    }).to.not.throw();
    const old = hybrid.filter(({ type }) => type !== "cgroup2");
    expect(() => {
      requireUnifiedCgroup(old, "6.1.0");
    }).to.throw(RuntimeError, /cgroup v2 is not mounted.*mount -t cgroup2/);
    expect(() => {
      requireUnifiedCgroup(hybrid, "5.10.0-28-amd64");
    }).to.throw(RuntimeError, /5\.10\.0-28-amd64 has no cgroup\.kill/);
  });

  it("limit huge pages where runc sets limits: in version 1 if there are both", () => {
    const group = (...superOptions: string[]) => ({ type: "cgroup", superOptions });
    const unified = { type: "cgroup2", superOptions: ["rw"] };
    const both = [group("rw", "memory"), unified];
    expect(limitFactsOf(both, ["hugetlb"])).to.deep.equal({ isUnified: false, hugePages: false });
    expect(limitFactsOf([group("rw", "hugetlb"), ...both], [])).to.deep.equal({ isUnified: false, hugePages: true });
    expect(limitFactsOf([unified], ["memory", "hugetlb"])).to.deep.equal({ isUnified: true, hugePages: true });
    expect(limitFactsOf([unified], ["memory"])).to.deep.equal({ isUnified: true, hugePages: false });
  });

  it("are not left through a parent with dots in it", () => {
    for (const parent of ["/kubepods/../..", "..", "/a/../b"]) {
      expect(() => cgroupParentPath(parent), parent)
        .to.throw(RuntimeError)
        .with.property("code", "invalidArgument");
    }
  });
});

describe("mountinfo", () => {
  it("gives what is mounted below a directory, deepest first, names with blanks in them as they are", () => {
    const lines = parseMountinfo(
      [
        "50 27 0:40 / /run/boxes/1/share ro,relatime shared:7 - ext4 /dev/vda rw",
        "51 50 0:41 / /run/boxes/1/share/c/a\\040b rw shared:8 - overlay overlay rw",
        "52 27 0:42 / /run/boxes/12 rw - tmpfs tmpfs rw",
        "not a line of it",
      ].join("\n"),
    );
    expect(mountsBelow(lines, "/run/boxes/1")).to.deep.equal(["/run/boxes/1/share/c/a b", "/run/boxes/1/share"]);
    expect(mountsBelow(lines, "/")).to.have.lengthOf(3);
  });
});

describe("the group above a Box's", () => {
  let base: string;
  const group = async (name: string, files: Readonly<Record<string, string>>): Promise<string> => {
    const directory = join(base, name);
    await mkdir(directory);
    for (const [file, text] of Object.entries(files)) await writeFile(join(directory, file), `${text}\n`);
    return directory;
  };
  before(async () => {
    base = await mkdtemp(join(tmpdir(), "groups-"));
  });
  after(async () => {
    await rm(base, { recursive: true });
  });

  it("says how much memory and how many huge pages its pod may have, in version 2", async () => {
    const pod = await group("v2", {
      "memory.max": "536870912",
      "memory.high": "1",
      "hugetlb.2MB.max": "67108864",
      "hugetlb.2MB.rsvd.max": "1",
      "hugetlb.1GB.max": "0",
    });
    expect(await limitsIn([join(base, "none"), pod])).to.deep.equal({
      memoryBytes: 512n << 20n,
      hugePageBytes: 64n << 20n,
    });
    const free = await group("free", { "memory.max": "max", "hugetlb.2MB.max": "max" });
    expect(await limitsIn([free])).to.deep.equal({ memoryBytes: undefined, hugePageBytes: 0n });
  });

  it("and in version 1, where no limit is a large number", async () => {
    const memory = await group("memory", { "memory.limit_in_bytes": "9223372036854771712" });
    const pages = await group("pages", {
      "hugetlb.2MB.limit_in_bytes": "4194304",
      "hugetlb.2MB.rsvd.limit_in_bytes": "1",
      "hugetlb.1GB.limit_in_bytes": "9223372036854771712",
    });
    expect(await limitsIn([memory, pages])).to.deep.equal({ memoryBytes: undefined, hugePageBytes: 4n << 20n });
  });

  it("are none of memory and processors where a larger Box would break none", async () => {
    const free = await group("free2", { "memory.max": "max", "cpu.max": "max 100000" });
    const old = await group("old2", { "memory.limit_in_bytes": "9223372036854771712", "cpu.cfs_quota_us": "-1" });
    expect([await isBoundedIn([free]), await isBoundedIn([old]), await isBoundedIn([])]).to.deep.equal([
      false,
      false,
      false,
    ]);
    for (const files of [
      { "memory.max": "536870912" },
      { "cpu.max": "50000 100000" },
      { "cpu.cfs_quota_us": "50000" },
    ]) {
      expect(await isBoundedIn([free, await group(Object.values(files).join(), files)])).to.equal(true);
    }
  });
});
