import { expect } from "chai";
import { readFile, readdir, readlink, statfs } from "node:fs/promises";
import { join } from "node:path";
import { parseMountinfo } from "../../src/base/mountinfo.js";
import type { Box } from "../../src/vmm/box.js";
import { serverRootOf } from "../../src/vmm/box-ids.js";
import { skipBecause } from "../support/skip.js";
import { BoxBench, native } from "./bench-of-boxes.js";

const tap = "tap0";

/** What the kernel tells of one of the Box's processes. */
class Inside {
  readonly pid: number;

  constructor(box: Box, role: "vmm" | "fs") {
    this.pid = box.handle.processes.find((process) => process.role === role)?.pid ?? 0;
  }

  async status(): Promise<Map<string, string>> {
    const lines = (await readFile(`/proc/${this.pid}/status`, "utf8")).split("\n");
    return new Map(lines.map((line) => [line.split(":")[0] ?? "", line.slice(line.indexOf(":") + 1).trim()]));
  }

  async namespace(name: string): Promise<string> {
    return await readlink(`/proc/${this.pid}/ns/${name}`);
  }

  async text(name: string): Promise<string> {
    return await readFile(`/proc/${this.pid}/${name}`, "utf8");
  }

  async mounts(): Promise<string> {
    return await this.text("mountinfo");
  }

  async descriptors(): Promise<string[]> {
    const directory = `/proc/${this.pid}/fd`;
    return await Promise.all((await readdir(directory)).map((fd) => readlink(`${directory}/${fd}`).catch(() => "")));
  }

  async limit(name: string): Promise<string | undefined> {
    const lines = (await readFile(`/proc/${this.pid}/limits`, "utf8")).split("\n");
    return lines
      .find((line) => line.startsWith(name))
      ?.slice(name.length)
      .trim()
      .split(/\s+/)[1];
  }
}

describe("the jail of a Box", function () {
  this.slow(5000);
  let bench: BoxBench | undefined;
  let box: Box;
  let vmm: Inside;
  let fs: Inside;
  before(async function () {
    if (process.env["A3S_TEST_DRIVER"] === "krun")
      skipBecause(this, "it is the launcher's own under krun: test/native");
    bench = await BoxBench.open();
    const spec = await bench.spec({ tap });
    await native.createTap(spec.netnsPath, tap);
    box = await bench.bootOf(spec);
    vmm = new Inside(box, "vmm");
    fs = new Inside(box, "fs");
  });
  after(async () => {
    await bench?.[Symbol.asyncDispose]();
  });

  for (const name of ["mnt", "pid", "ipc", "uts", "net"]) {
    it(`gives VMM and file server a namespace each of their own: ${name}`, async () => {
      const all = [await vmm.namespace(name), await fs.namespace(name), await readlink(`/proc/self/ns/${name}`)];
      expect(new Set(all).size).to.equal(3);
    });
  }

  it("runs the VMM as a user that owns nothing, without any capability", async () => {
    const status = await vmm.status();
    const ids = (status.get("Uid") ?? "").split(/\s+/).map(Number);
    expect(new Set(ids).size).to.equal(1);
    expect(ids[0]).to.be.within(0x7000_0000, 0x7ff0_0000);
    expect(status.get("Groups")).to.equal("");
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) {
      expect(status.get(set), set).to.equal("0".repeat(16));
    }
  });

  it("leaves the file server what serving files of all users takes, and not CAP_DAC_READ_SEARCH", async () => {
    const status = await fs.status();
    expect(status.get("CapPrm")).to.equal("00000000800000db");
    expect(status.get("CapEff")).to.equal("00000000800000db");
    for (const set of ["CapInh", "CapAmb"]) expect(status.get(set), set).to.equal("0".repeat(16));
  });

  it("runs the file server as root of a user namespace that is a user of the host who owns nothing, and has no other root", async function () {
    if (!bench?.factory.owners.mapped) skipBecause(this, "the kernel maps no owners");
    const root = serverRootOf(box.id);
    expect(box.handle.serverRoot).to.equal(root);
    const status = await fs.status();
    for (const ids of ["Uid", "Gid"]) {
      expect(new Set(status.get(ids)?.split(/\s+/)), ids).to.deep.equal(new Set([String(root)]));
    }
    expect(status.get("Groups")).to.equal("");
    const map = (await fs.text("uid_map"))
      .trim()
      .split("\n")
      .map((line) => line.trim().split(/\s+/).map(Number));
    expect(map).to.deep.equal([
      [0, root, 1],
      [1, 1, root - 1],
      [root + 1, root + 1, 0xffff_ffff - root - 1],
    ]);
    expect(await fs.text("gid_map")).to.equal(await fs.text("uid_map"));
    expect(await fs.namespace("user")).to.not.equal(await vmm.namespace("user"));
  });

  it("has open in the file server sockets, the guest's memory, its share and its own descriptors, and no file of the host", async () => {
    const links = await fs.descriptors();
    const ofShare = (link: string): boolean => link === "/share" || link.startsWith("/share/");
    const files = links.filter((link) => link.startsWith("/") && !link.startsWith("/memfd:") && !ofShare(link));
    const log = `${box.handle.directory}/log/fs`;
    const given = ["/dev/null", "/proc/self/fd", "/proc/self/mountinfo", log];
    expect([...new Set(files)].sort()).to.deep.equal(given.sort());
    expect(links.filter((link) => !/^(\/|socket:|anon_inode:)/.test(link))).to.deep.equal([]);
  });

  it("leads from the file server's descriptors to its jail, and not to what else a proc has", async () => {
    const directory = `/proc/${fs.pid}/fd`;
    const targets = await Promise.all(
      (await readdir(directory)).map(async (fd) => [fd, await readlink(join(directory, fd))]),
    );
    const own = join(directory, targets.find(([, target]) => target === "/proc/self/fd")?.[0] ?? "none");
    const procMagic = 0x9fa0;
    expect((await statfs(own)).type).to.equal(procMagic);
    expect((await readdir(own)).every((name) => /^\d+$/.test(name))).to.equal(true);
    // `..` of a mount is the directory that it is mounted in: the jail's own.
    expect((await readdir(`${own}/..`)).sort()).to.deep.equal(["fd", "mountinfo"]);
    for (const above of ["..", "../mountinfo", "../..", "../../sys", "../../.."]) {
      expect((await statfs(`${own}/${above}`)).type, above).to.not.equal(procMagic);
    }
    expect(await readdir(`${own}/../../sys/fs`)).to.deep.equal(["nr_open"]);
    expect(await readdir(`${own}/../../..`))
      .to.include.members(["proc", "share"])
      .and.to.not.include("sys");
  });

  it("gives the VMM no proc at all", async () => {
    expect(await vmm.mounts()).to.not.match(/ - (proc|sysfs) /);
    expect(await readdir(`/proc/${vmm.pid}/root`)).to.not.include("proc");
  });

  it("lets neither of them gain privileges, or call what is not on its list", async () => {
    for (const inside of [vmm, fs]) {
      const status = await inside.status();
      expect(status.get("NoNewPrivs")).to.equal("1");
      expect(status.get("Seccomp")).to.equal("2");
    }
    expect(Number((await vmm.status()).get("Seccomp_filters"))).to.equal(2); // ours, and QEMU's own
  });

  it("shows the VMM its own program, libraries, firmware and kernel, nothing of it to write", async () => {
    const mounts = await vmm.mounts();
    const targets = parseMountinfo(mounts).map(({ target }) => target);
    expect(targets.filter((target) => !/^\/(usr|etc\/ld\.so\.cache$|.*vmlinux\.elf$|$)/.test(target))).to.deep.equal(
      [],
    );
    for (const line of mounts.trim().split("\n")) expect(line.split(" ")[5]).to.match(/^ro,nosuid,nodev/);
  });

  it("has the share as the file server's root, read-only at its top", async () => {
    expect((await readdir(`/proc/${fs.pid}/root`)).sort()).to.deep.equal(
      (await readdir(`${box.handle.directory}/layout`)).sort(),
    );
    const top = parseMountinfo(await fs.mounts()).filter(({ target }) => target === "/");
    expect(top).to.have.length(1);
    expect((await fs.mounts()).split("\n").find((line) => line.split(" ")[4] === "/")).to.include(" ro,nosuid,nodev");
  });

  it("puts both in networks with nothing in them but a loopback that is down", async () => {
    for (const { pid } of [vmm, fs]) {
      const links = (await readFile(`/proc/${pid}/net/dev`, "utf8")).split("\n").slice(2, -1);
      expect(links.map((line) => line.trim().split(":")[0])).to.deep.equal(["lo"]);
      expect((await readFile(`/proc/${pid}/net/fib_trie`, "utf8")).trim()).to.equal("");
    }
  });

  it("has open in the VMM what it was given, and no other file of the host", async () => {
    const files = (await vmm.descriptors()).filter((link) => link.startsWith("/") && !link.startsWith("/memfd:"));
    const expected = [
      "/dev/null",
      "/dev/net/tun",
      `${box.handle.directory}/log/console`,
      `${box.handle.directory}/log/vmm`,
    ];
    expect([...new Set(files)].sort()).to.deep.equal(expected.sort());
  });

  it("limits threads and open files of the VMM, processes of both and of their group, and lets neither dump core", async () => {
    expect(await vmm.limit("Max processes")).to.equal("65");
    expect(await fs.limit("Max processes")).to.equal("32"); // its pool of sixteen, and what is beside it
    const counted = await Promise.all(
      box.handle.cgroups.map((group) => readFile(join(group, "pids.max"), "utf8").catch(() => undefined)),
    );
    const own = counted.find((most) => most !== undefined);
    if (own !== undefined) expect(own).to.equal("129\n"); // one processor, and what is beside it
    expect(await vmm.limit("Max open files")).to.equal("1024");
    for (const inside of [vmm, fs]) expect(await inside.limit("Max core file size")).to.equal("0");
  });
});
