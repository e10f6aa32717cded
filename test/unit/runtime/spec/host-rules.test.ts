import { expect } from "chai";
import { parseMountinfo } from "../../../../src/base/mountinfo.js";
import { MountPropagation, NamespaceMode } from "../../../../src/gen/runtime/v1/api.js";
import { finishSpec, planSpec } from "../../../../src/runtime/spec/build-spec.js";
import { hostRules, type HostFacts } from "../../../../src/runtime/spec/host-rules.js";
import type { OciDevice } from "../../../../src/runtime/spec/oci.js";
import { complaint, config, input, limited, mount, secured } from "./support.js";

const mounts = parseMountinfo(
  [
    "1 0 0:1 / / rw - ext4 /dev/vda rw",
    "2 1 0:2 / /shared rw shared:7 - tmpfs shared rw",
    "3 1 0:3 / /slave rw master:7 - tmpfs slave rw",
    "4 2 0:4 / /shared/private rw - tmpfs private rw",
  ].join("\n"),
);
const fuse: OciDevice = { type: "c", path: "/dev/fuse", major: 10, minor: 229, fileMode: 0o666, uid: 0, gid: 0 };
const kvm: OciDevice = { ...fuse, path: "/dev/kvm", minor: 232 };
const devices = {
  asked: [fuse],
  rules: [{ allow: true, type: "c", major: 10, minor: 229, access: "rw" }] as const,
  all: [kvm],
};
const limits = { isUnified: false, hugePages: false };
const facts: HostFacts = { shared: [], mounts, limits, devices, hasUsers: false };

const spec = (given: Parameters<typeof input>[0], over: Partial<HostFacts> = {}) => {
  const rules = hostRules({ ...facts, ...over });
  return finishSpec(planSpec(input({ rules, ...given })), "/r", [], "/shm");
};
const pid = (mode: NamespaceMode) =>
  secured({ namespaceOptions: { network: 0, pid: mode, ipc: 0, targetId: "", usernsOptions: undefined } });

describe("the spec of a container of the host", () => {
  it("marks one that shares its pod's PID namespace, and no other", () => {
    const marked = (mode: NamespaceMode, over: Partial<HostFacts> = {}) =>
      spec({ config: pid(mode), targetPid: 7 }, over).annotations?.["a3s.pids"];
    expect(marked(NamespaceMode.POD)).to.equal("pod");
    expect(marked(NamespaceMode.CONTAINER)).to.equal(undefined);
    expect(marked(NamespaceMode.TARGET)).to.equal(undefined);
    expect(marked(NamespaceMode.NODE, { shared: ["pid"] })).to.equal(undefined);
    expect(marked(NamespaceMode.POD, { shared: ["pid"] })).to.equal(undefined);
  });

  it("has the host's namespaces only where the sandbox has them", () => {
    expect(complaint(() => spec({ config: pid(NamespaceMode.NODE) }))).to.match(/pid is NODE, but the sandbox/);
    expect(spec({ config: pid(NamespaceMode.NODE) }, { shared: ["pid"] }).linux.namespaces).to.deep.equal([
      { type: "mount" },
      { type: "cgroup" },
    ]);
  });

  it("sends no mount of a pod with a user namespace to the host, and takes the host's", () => {
    const { PROPAGATION_BIDIRECTIONAL: both, PROPAGATION_HOST_TO_CONTAINER: inward } = MountPropagation;
    const tried = (propagation: MountPropagation): string => {
      const mounts = [mount({ hostPath: "/shared/x", propagation })];
      return complaint(() => spec({ config: config({ mounts }) }, { hasUsers: true }));
    };
    expect(tried(inward)).to.equal("");
    expect(tried(both)).to.match(/user namespace don't reach the host/);
  });

  it("takes propagation only from a mount that has it to give", () => {
    const { PROPAGATION_BIDIRECTIONAL: both, PROPAGATION_HOST_TO_CONTAINER: inward } = MountPropagation;
    const tried = (hostPath: string, propagation: MountPropagation): string =>
      complaint(() => spec({ config: config({ mounts: [mount({ hostPath, propagation })] }) }));
    expect(tried("/shared/x", both)).to.equal("");
    expect(tried("/shared/x", inward)).to.equal("");
    expect(tried("/slave", inward)).to.equal("");
    expect(tried("/slave", both)).to.match(/not shared/);
    expect(tried("/shared/private/x", inward)).to.match(/not shared/);
    expect(tried("/elsewhere", both)).to.match(/not shared/);
    const root = spec({ config: config({ mounts: [mount({ hostPath: "/shared/x", propagation: both })] }) });
    expect(root.linux.rootfsPropagation).to.equal("rshared");
  });

  it("has the devices that it asks for, and all of them when it is privileged", () => {
    const plain = spec({}).linux;
    expect(plain.devices).to.deep.equal([fuse]);
    expect(plain.resources.devices?.at(-1)).to.deep.equal(devices.rules[0]);
    const privileged = spec({
      config: secured({ privileged: true }),
      sandbox: { hostname: "h", privileged: true },
    }).linux;
    expect(privileged.devices).to.deep.equal([fuse, kvm]);
    expect(privileged.namespaces).to.deep.equal([{ type: "mount" }]);
  });

  it("has limits that number the host's hardware, and those that this host can set", () => {
    const asked = limited({
      cpuShares: 512n,
      cpusetCpus: "0-1",
      memoryLimitInBytes: 1n << 20n,
      hugepageLimits: [{ pageSize: "2MB", limit: 0n }],
      unified: { "memory.swap.max": "0" },
    });
    const { devices: _old, ...old } = spec({ config: asked }).linux.resources;
    expect(old).to.deep.equal({ memory: { limit: 1 << 20 }, cpu: { shares: 512, cpus: "0-1" } });
    const { devices: _now, ...now } = spec({ config: asked }, { limits: { isUnified: true, hugePages: true } }).linux
      .resources;
    expect(now).to.deep.include({
      unified: { "memory.swap.max": "0" },
      hugepageLimits: [{ pageSize: "2MB", limit: 0 }],
    });
  });
});
