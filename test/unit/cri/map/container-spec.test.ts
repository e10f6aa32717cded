import { expect } from "chai";
import { containerId, digest, boxId } from "../../../../src/base/ids.js";
import { containerSpecOf } from "../../../../src/cri/map/container-spec.js";
import { containerStatusOf } from "../../../../src/cri/map/container-status.js";
import { criResources, resourceSpecOf } from "../../../../src/cri/map/resources.js";
import { ContainerConfig, Signal, type ContainerStatus } from "../../../../src/gen/runtime/v1/api.js";
import type { ContainerFacts } from "../../../../src/runtime/container/container.js";
import type { ContainerRecord } from "../../../../src/runtime/container/container-record.js";
import type { ContainerSpec } from "../../../../src/runtime/container/container-spec.js";
import {
  fullContainer as config,
  fullImage as image,
  fullMounts as mounts,
  fullResources as resources,
} from "../requests.js";

const imageSpec = { name: image.image, annotations: { a: "b" }, userSpecified: "app", handler: "h", reference: "r" };
const spec: ContainerSpec = {
  ...{ name: "app", attempt: 3, labels: { l: "1" }, annotations: { n: "2" }, image: imageSpec },
  ...{ command: ["/app"], args: ["-x"], workingDir: "/w", env: [{ name: "A", value: "ü" }] },
  mounts: [
    {
      ...{ containerPath: "/data", hostPath: "/host", readonly: true, recursiveReadonly: true, selinuxRelabel: true },
      ...{ propagation: "hostToContainer", options: ["noexec"], imageSubPath: "" },
      uidMappings: [{ containerId: 0, hostId: 65_536, length: 4096 }],
      gidMappings: [{ containerId: 0, hostId: 9, length: 4096 }],
    },
    {
      ...{ containerPath: "/img", hostPath: "", readonly: true, recursiveReadonly: false, selinuxRelabel: false },
      ...{
        propagation: "private",
        options: [],
        uidMappings: [],
        gidMappings: [],
        image: imageSpec,
        imageSubPath: "sub",
      },
    },
  ],
  devices: [{ hostPath: "/dev/fuse", containerPath: "/dev/fuse", permissions: "rw" }],
  ...{ cdiDevices: ["v/c=d"], logPath: "app/3.log", stdin: true, stdinOnce: true, tty: false },
  security: {
    ...{ privileged: false, readonlyRootfs: true, noNewPrivileges: true },
    capabilities: { add: ["NET_ADMIN"], drop: ["ALL"], ambient: ["KILL"] },
    namespaces: { network: "pod", pid: "target", ipc: "pod", targetId: "t" },
    user: { user: "5", group: "6", supplementalGroups: [7], hasGroupsOfImage: false },
    seccomp: { kind: "localhost", path: "/p.json" },
    ...{ maskedPaths: ["/m"], readonlyPaths: ["/r"] },
  },
  resources: {
    ...{ cpuPeriodUs: 1n, cpuQuotaUs: -1n, cpuShares: 3n, memoryLimitBytes: (1n << 63n) - 1n, oomScoreAdj: -5n },
    ...{ cpusetCpus: "0-1", cpusetMems: "0", hugePageLimits: [{ pageSize: "2MB", limitBytes: 7n }] },
    ...{ unified: { "memory.min": "1" }, memorySwapLimitBytes: 4n },
  },
  stopSignal: "SIGRTMINPLUS3",
};

function statusOf(of: ContainerSpec): ContainerStatus {
  const id = containerId("c".repeat(64));
  const capabilities = { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] };
  const record: ContainerRecord = {
    ...{ version: 2, id, sandboxId: boxId("a".repeat(64)), label: "", spec: of, logPath: "/log", createdAtNs: 1n },
    image: { id: digest(`sha256:${"d".repeat(64)}`), reference: "app@sha256:d", name: "docker.io/library/app:1" },
    process: {
      ...{ terminal: false, args: [], env: [], cwd: "/", capabilities, rlimits: [], noNewPrivileges: false },
      user: { uid: 5, gid: 6, additionalGids: [6, 7] },
    },
    ...{ stopSignal: 37, sharedPaths: [], mirroredPaths: [], followed: [] },
  };
  const facts: ContainerFacts = {
    id,
    sandboxId: record.sandboxId,
    spec: of,
    record,
    state: "created",
    resources: of.resources,
  };
  return containerStatusOf(facts);
}

describe("a container as CRI asks for it", () => {
  it("is a spec with every member that means something", () => {
    expect(containerSpecOf(config)).to.deep.equal(spec);
  });

  it("is frozen all through", () => {
    const made = containerSpecOf(config);
    for (const part of [made, made.mounts, made.mounts[1]?.image, made.security.user, made.resources?.unified]) {
      expect(Object.isFrozen(part)).to.equal(true);
    }
  });

  it("that asks for nothing has the usual security, and no limits", () => {
    const least = containerSpecOf(ContainerConfig.fromPartial({}));
    expect(least).to.not.have.any.keys("resources", "stopSignal");
    expect(least.security).to.deep.equal({
      ...{ privileged: false, readonlyRootfs: false, noNewPrivileges: false, maskedPaths: [], readonlyPaths: [] },
      capabilities: { add: [], drop: [], ambient: [] },
      namespaces: { network: "pod", pid: "pod", ipc: "pod", targetId: "" },
      user: { user: "", group: "", supplementalGroups: [], hasGroupsOfImage: true },
      seccomp: { kind: "none" },
    });
  });

  it("is refused where a number has no name, or a variable is no text", () => {
    const wrong = structuredClone(mounts);
    Object.assign(wrong[0] ?? {}, { propagation: 9 });
    expect(() => containerSpecOf({ ...config, mounts: wrong })).to.throw("mounts[0].propagation 9 does not exist");
    const signal = Object.assign(structuredClone(config), { stopSignal: 999 });
    expect(() => containerSpecOf(signal)).to.throw("stop_signal 999 is not a known signal");
    const envs = [{ key: "BIN", value: Uint8Array.of(0xff, 0xfe) }];
    expect(() => containerSpecOf({ ...config, envs })).to.throw("BIN is not UTF-8");
  });

  it("is shown in its status as it was asked for: kubelet compares it", () => {
    const shown = statusOf(spec);
    expect(shown).to.deep.include({
      metadata: config.metadata,
      labels: config.labels,
      annotations: config.annotations,
    });
    expect(shown.mounts).to.deep.equal(mounts);
    expect(shown.resources?.linux).to.deep.equal(resources);
    expect(shown.stopSignal).to.equal(Signal.SIGRTMINPLUS3);
    expect(shown.image).to.deep.equal({ ...image, imageRef: `sha256:${"d".repeat(64)}` });
    expect(shown.user?.linux).to.deep.equal({ uid: 5n, gid: 6n, supplementalGroups: [6n, 7n] });
  });

  it("has limits that come back to the last digit", () => {
    expect(criResources(resourceSpecOf(resources))).to.deep.equal(resources);
  });
});
