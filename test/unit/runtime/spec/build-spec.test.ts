import { expect } from "chai";
import {
  Device,
  LinuxContainerResources,
  MountPropagation,
  NamespaceMode,
  SecurityProfile_ProfileType,
  type HugepageLimit,
} from "../../../../src/gen/runtime/v1/api.js";
import { containerSpecOf } from "../../../../src/cri/map/container-spec.js";
import { mountSpecOf } from "../../../../src/cri/map/mounts.js";
import { resourceSpecOf } from "../../../../src/cri/map/resources.js";
import { finishSpec, planSpec } from "../../../../src/runtime/spec/build-spec.js";
import { guestRulesOf } from "../../../../src/runtime/spec/guest-rules.js";
import { declaredVolumes, placeMount } from "../../../../src/runtime/spec/mounts.js";
import { mergeResources } from "../../../../src/runtime/spec/resources.js";
import type { OciSpec } from "../../../../src/runtime/spec/oci.js";
import { complaint, config, input, limited, mount, secured, type Given } from "./support.js";

function specOf(members: Given): OciSpec {
  const given = input(members);
  const placed = given.spec.mounts.map((one, index) => placeMount(one, `/v/${String(index)}`));
  return finishSpec(planSpec(given), "/c/root", placed, "/run/a3s/shm");
}

const capabilitiesOf = (add: string[], drop: string[]): readonly string[] =>
  specOf({
    config: secured({ capabilities: { addCapabilities: add, dropCapabilities: drop, addAmbientCapabilities: [] } }),
  }).process.capabilities.bounding;

const pidMode = (pid: NamespaceMode) =>
  secured({ namespaceOptions: { network: 0, pid, ipc: 0, targetId: "", usernsOptions: undefined } });

describe("capabilities", () => {
  it("are the usual fourteen in bounding, effective and permitted, none inheritable or ambient", () => {
    const { capabilities } = specOf({}).process;
    expect(capabilities.bounding).to.have.length(14);
    expect(capabilities.effective).to.deep.equal(capabilities.bounding);
    expect(capabilities.permitted).to.deep.equal(capabilities.bounding);
    expect([capabilities.inheritable, capabilities.ambient]).to.deep.equal([[], []]);
  });

  it("follow the order: ALL first, then single adds, then single drops", () => {
    expect(capabilitiesOf(["net_admin"], ["ALL"])).to.deep.equal(["CAP_NET_ADMIN"]);
    const allButOne = capabilitiesOf(["ALL"], ["CAP_SYS_ADMIN"]);
    expect(allButOne).to.have.length(40);
    expect(allButOne).to.not.include("CAP_SYS_ADMIN");
    expect(capabilitiesOf([], ["ALL"])).to.deep.equal([]);
    expect(capabilitiesOf(["NOT_A_CAPABILITY"], ["NET_RAW"])).to.have.length(13);
  });
});

describe("namespaces", () => {
  const typesOf = (members: Given) => specOf(members).linux.namespaces;

  it("share the pod's processes by default, have their own when asked, and join another's", () => {
    expect(typesOf({})).to.deep.equal([{ type: "mount" }, { type: "cgroup" }]);
    expect(typesOf({ config: pidMode(NamespaceMode.CONTAINER) })[0]).to.deep.equal({ type: "pid" });
    const joined = typesOf({ config: pidMode(NamespaceMode.TARGET), targetPid: 77 });
    expect(joined[0]).to.deep.equal({ type: "pid", path: "/proc/77/ns/pid" });
  });

  it("never are the host's", () => {
    expect(complaint(() => specOf({ config: pidMode(NamespaceMode.NODE) }))).to.include("host's PID namespace");
  });

  it("can't join a container that does not run", () => {
    expect(complaint(() => specOf({ config: pidMode(NamespaceMode.TARGET) }))).to.include("not running");
  });
});

describe("privileged containers", () => {
  it("need a privileged sandbox", () => {
    expect(complaint(() => specOf({ config: secured({ privileged: true }) }))).to.include("privileged sandbox");
  });

  it("have every capability, every device, nothing masked and a writable /sys", () => {
    const spec = specOf({
      config: secured({ privileged: true, maskedPaths: ["/proc/kcore"] }),
      sandbox: { hostname: "box", privileged: true, userns: undefined },
    });
    expect(spec.process.capabilities.effective).to.have.length(41);
    expect(spec.linux.resources.devices).to.deep.equal([{ allow: true, access: "rwm" }]);
    expect(spec.linux.maskedPaths).to.deep.equal([]);
    expect(spec.mounts.find(({ destination }) => destination === "/sys")?.options).to.include("rw");
  });
});

describe("mounts", () => {
  const destinations = (spec: OciSpec) => spec.mounts.map(({ destination }) => destination);

  it("come parents first, after the kernel's file systems", () => {
    const mounts = ["/data/a/b", "/data", "/x"].map((containerPath) => mount({ containerPath }));
    const given = destinations(specOf({ config: config({ mounts }) }));
    expect(given.slice(0, 2)).to.deep.equal(["/proc", "/dev"]);
    expect(given.filter((path) => path !== "/dev/shm").slice(-3)).to.deep.equal(["/data", "/x", "/data/a/b"]);
  });

  it("replace a default of the same path, however it is spelled", () => {
    const spec = specOf({ config: config({ mounts: [mount({ containerPath: "/dev/../dev/shm/" })] }) });
    const shm = spec.mounts.filter(({ destination }) => destination === "/dev/shm");
    expect(shm.map(({ source }) => source)).to.deep.equal(["/v/0"]);
  });

  it("of the image are made where the request brings none, and nowhere that is the kernel's", () => {
    const volumes = ["/data", "/data/", "relative", "/x/../y", "/", "/proc", "/dev/", "/sys/fs/cgroup", "/nul\0"];
    const brought = [mount({ containerPath: "/y/" })];
    expect(declaredVolumes({ volumes }, brought.map(mountSpecOf))).to.deep.equal([
      "/data",
      "/relative",
      "/sys/fs/cgroup",
    ]);
  });

  it("on /dev take the place of everything below it", () => {
    const spec = specOf({ config: config({ mounts: [mount({ containerPath: "/dev" })] }) });
    expect(destinations(spec).filter((path) => path.startsWith("/dev"))).to.deep.equal(["/dev"]);
  });

  it("are read-only themselves, not what is mounted below them", () => {
    const spec = specOf({ config: config({ mounts: [mount({ readonly: true })] }) });
    const data = spec.mounts.find(({ destination }) => destination === "/data");
    expect(data?.options).to.include.members(["rbind", "ro", "rprivate"]);
    expect(spec.mounts.flatMap(({ options }) => options)).to.not.include("rro");
  });

  it("are read-only with all that is mounted below them when that is asked for", () => {
    const spec = specOf({ config: config({ mounts: [mount({ readonly: true, recursiveReadOnly: true })] }) });
    const data = spec.mounts.find(({ destination }) => destination === "/data");
    expect(data?.options).to.include.members(["rbind", "ro", "rro"]);
  });

  it("follow the host's later mounts when asked", () => {
    const mounts = [mount({ propagation: MountPropagation.PROPAGATION_HOST_TO_CONTAINER })];
    const spec = specOf({ config: config({ mounts }) });
    expect(spec.linux.rootfsPropagation).to.equal("rslave");
    expect(spec.mounts.flatMap(({ options }) => options)).to.include("rslave");
  });

  const refused: readonly [string, Parameters<typeof mount>[0], string][] = [
    ["a relative source", { hostPath: "data" }, "not an absolute path"],
    ["an empty source", { hostPath: "" }, "not an absolute path"],
    ["the root as target", { containerPath: "/a/.." }, "not a path below /"],
    ["no target", { containerPath: "" }, "not a path below /"],
    ["propagation back to the host", { propagation: MountPropagation.PROPAGATION_BIDIRECTIONAL }, "propagate back"],
    ["recursive read-only that is not read-only", { recursiveReadOnly: true }, "needs readonly"],
    [
      "recursive read-only with later mounts of the host",
      {
        readonly: true,
        recursiveReadOnly: true,
        propagation: MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
      },
      "no propagation",
    ],
    ["a NUL in a path", { containerPath: "/a\0" }, "NUL"],
  ];
  for (const [name, members, message] of refused) {
    it(`refuse ${name}`, () => {
      expect(complaint(() => specOf({ config: config({ mounts: [mount(members)] }) }))).to.include(message);
    });
  }
});

describe("resources", () => {
  const limitsOf = (members: Parameters<typeof limited>[0]) => specOf({ config: limited(members) }).linux.resources;

  it("turn CPU shares into a weight, and a quota into a bandwidth", () => {
    expect(limitsOf({ cpuShares: 2n }).unified).to.deep.equal({ "cpu.weight": "1" });
    expect(limitsOf({ cpuShares: 102n }).unified).to.deep.equal({ "cpu.weight": "4" });
    expect(limitsOf({ cpuShares: 262144n }).unified).to.deep.equal({ "cpu.weight": "10000" });
    expect(limitsOf({ cpuQuota: 50000n }).cpu).to.deep.equal({ quota: 50000, period: 100000 });
    expect(limitsOf({ cpuQuota: -1n, cpuPeriod: 100000n }).cpu).to.deep.equal({ quota: -1, period: 100000 });
    expect(limitsOf({ cpuPeriod: 100000n }).cpu).to.equal(undefined);
  });

  it("limit memory and never swap, huge pages or the host's CPUs", () => {
    const limits = limitsOf({
      memoryLimitInBytes: 1024n,
      memorySwapLimitInBytes: 1024n,
      cpusetCpus: "0-3",
      hugepageLimits: [{ pageSize: "1GB", limit: 0n }],
      unified: { "memory.oom.group": "1", "memory.swap.max": "0", "hugetlb.1GB.max": "0", "cpuset.cpus": "0" },
    });
    expect(limits.memory).to.deep.equal({ limit: 1024 });
    expect(limits.unified).to.deep.equal({ "memory.oom.group": "1" });
    expect(Object.keys(limits).sort()).to.deep.equal(["devices", "memory", "unified"]);
  });

  it("refuse what can't be set, and cut the OOM score", () => {
    expect(complaint(() => limitsOf({ memoryLimitInBytes: -5n }))).to.include("negative");
    expect(complaint(() => limitsOf({ unified: { "../../etc": "1" } }))).to.include("not a cgroup v2 file");
    expect(complaint(() => limitsOf({ cpuQuota: 5n }))).to.include("can't be set");
    expect(complaint(() => limitsOf({ unified: { "hugetlb.2MB.max": "max" } }))).to.match(
      /hugetlb.2MB.max.*hugepage_limits/,
    );
    expect(specOf({ config: limited({ oomScoreAdj: -5000n }) }).process.oomScoreAdj).to.equal(-1000);
  });

  it("give huge pages of the sizes that the guest has, 0 of them too, and refuse others above 0", () => {
    const limit = (pageSize: string, mib: bigint) => ({ pageSize, limit: mib << 20n });
    const pagesOf = (has: bigint[], ...hugepageLimits: HugepageLimit[]) => {
      const asked = limited({ hugepageLimits });
      return specOf({ config: asked, rules: guestRulesOf(containerSpecOf(asked), has) }).linux.resources.hugepageLimits;
    };
    expect(pagesOf([2048n], limit("1GB", 0n), limit("2MB", 4n))).to.deep.equal([{ pageSize: "2MB", limit: 4 << 20 }]);
    expect(pagesOf([2048n], limit("2MB", 0n))).to.deep.equal([{ pageSize: "2MB", limit: 0 }]);
    expect(pagesOf([2048n, 1_048_576n], limit("1GB", 1024n))).to.deep.equal([{ pageSize: "1GB", limit: 1 << 30 }]);
    expect(pagesOf([], limit("2MB", 0n))).to.equal(undefined);
    expect(complaint(() => pagesOf([64n, 2048n], limit("1GB", 1024n)))).to.match(/1GB.*64KB and 2MB.*hugepages-2Mi/);
    expect(complaint(() => pagesOf([], limit("2MB", 2n)))).to.match(/2MB to give.*recreate the pod/);
  });

  it("of an update leave page sizes that it does not name as they were", () => {
    const now = LinuxContainerResources.fromPartial({
      hugepageLimits: [
        { pageSize: "2MB", limit: 1n },
        { pageSize: "1GB", limit: 2n },
      ],
    });
    const wish = LinuxContainerResources.fromPartial({ hugepageLimits: [{ pageSize: "1GB", limit: 0n }] });
    expect(mergeResources(resourceSpecOf(now), resourceSpecOf(wish)).hugePageLimits).to.deep.equal([
      { pageSize: "2MB", limitBytes: 1n },
      { pageSize: "1GB", limitBytes: 0n },
    ]);
  });
});

describe("devices of a Box", () => {
  const spec = (devices: Partial<Device>[]) => {
    const asked = config({ devices: devices.map((one) => Device.fromPartial(one)) });
    return specOf({ config: asked, rules: guestRulesOf(containerSpecOf(asked), []) }).linux;
  };

  it("are the guest's, by the names that any Linux has, with the access that is asked for", () => {
    const { devices, resources } = spec([{ hostPath: "/dev/fuse", containerPath: "/dev/mine", permissions: "r" }]);
    expect(devices).to.deep.equal([
      { type: "c", path: "/dev/mine", major: 10, minor: 229, fileMode: 0o666, uid: 0, gid: 0 },
    ]);
    expect(resources.devices?.at(-1)).to.deep.equal({ allow: true, type: "c", major: 10, minor: 229, access: "r" });
  });

  it("are refused at a path or with an access that is none", () => {
    const fuse = { hostPath: "/dev/fuse", containerPath: "/dev/fuse", permissions: "rw" };
    expect(complaint(() => spec([{ ...fuse, permissions: "x" }]))).to.include('permissions "x"');
    expect(complaint(() => spec([{ ...fuse, containerPath: "dev" }]))).to.include("not an absolute path");
    expect(complaint(() => spec([{ ...fuse, hostPath: "/dev/../dev/fuse" }]))).to.include("/dev/net/tun");
  });

  it("are all of the guest's for a privileged container", () => {
    const all = {
      config: secured({ privileged: true }),
      sandbox: { hostname: "box", privileged: true, userns: undefined },
    };
    expect(specOf(all).annotations).to.deep.equal({ "a3s.devices": "all" });
    expect(specOf({ config: config({}) }).annotations).to.equal(undefined);
  });
});

describe("what a Box does not have", () => {
  const device = { hostPath: "/dev/kvm", containerPath: "/dev/kvm", permissions: "rwm" };

  it("is refused with the way out", () => {
    expect(complaint(() => specOf({ config: config({ devices: [device] }) }))).to.include("RuntimeClass");
    expect(complaint(() => specOf({ config: config({ CDIDevices: [{ name: "a/b=c" }] }) }))).to.include("CDI");
  });

  it("is accepted where it asks for nothing", () => {
    const unconfined = { profileType: SecurityProfile_ProfileType.Unconfined, localhostRef: "" };
    expect(complaint(() => specOf({ config: secured({ apparmor: unconfined }) }))).to.equal("");
  });
});

describe("the root file system", () => {
  it("is read-only when asked, and so are the pod's own files, but not a volume", () => {
    const spec = specOf({ config: { ...secured({ readonlyRootfs: true }), mounts: [mount({})] } });
    expect(spec.root).to.deep.equal({ path: "/c/root", readonly: true });
    expect(spec.mounts.find(({ destination }) => destination === "/data")?.options).to.include("rw");
  });
});
