import { expect } from "chai";
import { rehearsedContainer } from "../../../../src/runtime/spec/rehearsed.js";

describe("the container that a Box runs before it has a pod", () => {
  const places = { root: "/share/r", file: "/share/r/bin/x", directory: "/share/r/bin", sharedMemory: "/shm" };
  const { process, root, mounts, linux } = rehearsedContainer(["/bin/x", "hold"], places);

  it("runs what it is given, in the root that it is given", () => {
    expect(process.args).to.deep.equal(["/bin/x", "hold"]);
    expect(root).to.deep.equal({ path: "/share/r", readonly: false });
  });

  it("has what the guest is to have done once: mounts of all kinds, limits, a device list, capabilities", () => {
    expect(mounts.map(({ destination }) => destination)).to.include.members([
      ...["/proc", "/dev", "/dev/pts", "/dev/mqueue", "/dev/shm", "/sys", "/sys/fs/cgroup"],
      ...["/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/var/run/secrets/kubernetes.io/serviceaccount"],
    ]);
    const sources = mounts.filter(({ type }) => type === "bind").map(({ source }) => source);
    expect(new Set(sources)).to.deep.equal(new Set(["/share/r/bin/x", "/share/r/bin", "/shm"]));
    expect(linux.namespaces.map(({ type }) => type)).to.have.members(["pid", "mount", "cgroup"]);
    expect(linux.resources).to.include.keys("cpu", "memory", "devices");
    expect(linux.maskedPaths).to.include("/proc/kcore");
    expect(linux.readonlyPaths).to.include("/proc/sys");
    expect(process.capabilities.effective).to.include("CAP_CHOWN");
  });
});
