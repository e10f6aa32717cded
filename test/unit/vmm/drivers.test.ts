import { expect } from "chai";
import { boxId } from "../../../src/base/ids.js";
import type { BoxSpec } from "../../../src/vmm/box.js";
import { boxDirectoryAt } from "../../../src/vmm/box-directory.js";
import type { StartRequest } from "../../../src/vmm/drivers/driver.js";
import { launcherConfig } from "../../../src/vmm/drivers/krun/launcher-config.js";
import { fileServerOptions, qemuArguments, vmmOptions } from "../../../src/vmm/drivers/qemu/qemu-arguments.js";

const spec: BoxSpec = {
  id: boxId("ab".repeat(32)),
  vcpus: 2,
  memoryMib: 512,
  netnsPath: "/run/ns",
  tap: "tap0",
  cgroupParent: "",
};

function request(over: Partial<StartRequest> = {}): StartRequest {
  return {
    spec,
    directory: boxDirectoryAt("/s/boxes/1,2"),
    cgroup: { path: "", procs: [] },
    userNamespace: null,
    trees: { share: 20, base: 21 },
    started: () => Promise.resolve(),
    ...over,
  };
}

function following(args: readonly string[], name: string): string[] {
  return args.filter((_arg, index) => args[index - 1] === name);
}

describe("a file server's limit of processes", () => {
  const limits = (hasUserNamespace: boolean): string[] =>
    fileServerOptions(request().directory, { hasUserNamespace }).filter((word) => word.startsWith("processes="));

  it("is there where its user is its own, and not where all of the daemon's threads would count", () => {
    expect(limits(true)).to.deep.equal(["processes=32"]);
    expect(limits(false)).to.deep.equal([]);
  });
});

describe("QEMU's arguments", () => {
  it("size the machine and share its memory with the file server", () => {
    const args = qemuArguments(request(), "/k", 2_793_436);
    expect(following(args, "-smp")).to.deep.equal(["2"]);
    expect(following(args, "-m")).to.deep.equal(["512M"]);
    expect(following(args, "-object")).to.deep.equal(["memory-backend-memfd,id=mem,size=512M,share=on"]);
  });

  it("name descriptors in the order in which the launcher opens them", () => {
    const opened = vmmOptions(request(), "/k").filter((option) => /^(listen|connect|append|tap)=/.test(option));
    expect(opened.map((option) => option.split("=")[0])).to.deep.equal(["append", "listen", "connect", "tap"]);
    const args = qemuArguments(request(), "/k", 2_793_436);
    expect(following(args, "-add-fd")).to.deep.equal(["fd=3,set=1"]);
    expect(following(args, "-chardev"))
      .to.include("socket,id=ag,fd=4,server=on,wait=off")
      .and.to.include("socket,id=fs,fd=5");
    expect(following(args, "-netdev")).to.deep.equal(["tap,id=n0,fd=6"]);
  });

  it("name nothing of the host but the kernel: all else is opened before the jail closes", () => {
    const args = qemuArguments(request(), "/k", 2_793_436);
    const named = args.filter((arg, index) => arg.includes("/s/") && args[index - 1] !== "-name");
    expect(named).to.deep.equal([]);
  });

  it("double the commas of a path, which would begin another option", () => {
    expect(following(qemuArguments(request(), "/k", 2_793_436), "-name")).to.deep.equal(["guest=/s/boxes/1,,2"]);
  });

  it("mount the root read-write, for submounts inherit a read-only one", () => {
    const line = following(qemuArguments(request(), "/k", 2_793_436), "-append")[0] ?? "";
    expect(line.split(" ")).to.include.members(["rw", "init_on_alloc=1", "reboot=t", "root=podroot"]);
    expect(line).to.match(/ init=\/base\/bin\/agent$/);
  });

  it("leave mitigations of the processor's speculation out, where the processor is emulated", () => {
    const line = following(qemuArguments(request(), "/k", 2_793_436), "-append")[0] ?? "";
    expect(line.split(" ")).to.include("mitigations=off");
  });

  it("attach a tap only where there is one, and none with a name that ends the option", () => {
    const without = qemuArguments(request({ spec: { ...spec, tap: null } }), "/k", 2_793_436);
    expect(following(without, "-netdev")).to.deep.equal([]);
    expect(following(qemuArguments(request(), "/k", 2_793_436), "-device")).to.include(
      "virtio-net-device,netdev=n0,mac=02:ab:ab:ab:ab:ab,guest_announce=off",
    );
    const hostile = { ...spec, tap: "a,script=/x" };
    expect(() => qemuArguments(request({ spec: hostile }), "/k", 2_793_436)).to.throw("malformed");
  });

  it("refuse a kernel command line that the kernel would cut", () => {
    expect(() => qemuArguments(request({ kernelParameters: ["x".repeat(2000)] }), "/k", 2_793_436)).to.throw(
      "too long",
    );
  });
});

describe("the launcher's config", () => {
  const programs = { launcher: "/l", libkrun: "/lib/libkrun.so.1", kernel: "/k" };

  it("is a line for each part, with the tap where there is one", () => {
    const lines = launcherConfig(request(), programs).trimEnd().split("\n");
    expect(lines).to.include.members(["memory_mib=512", "vcpus=2", "tag=podroot", "tap=tap0", "kernel=/k"]);
    expect(lines.find((line) => line.startsWith("cmdline=")))
      .to.contain("reboot=k")
      .and.not.contain("init_on_alloc")
      .and.not.contain("mitigations");
  });

  it("names the descriptor of the user namespace, where there is one", () => {
    const inNamespace = request({ userNamespace: { fd: 17, root: 0x8000_0001 } });
    expect(launcherConfig(inNamespace, programs)).to.include("\nuserns=5\n");
    expect(launcherConfig(request(), programs)).to.not.include("userns");
  });

  it("refuses a value that would be another line", () => {
    const directory = boxDirectoryAt("/s/x\nshare=/");
    expect(() => launcherConfig(request({ directory }), programs)).to.throw("line break");
  });
});
