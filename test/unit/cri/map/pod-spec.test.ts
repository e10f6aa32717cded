import { expect } from "chai";
import { boxId } from "../../../../src/base/ids.js";
import { podSpecOf } from "../../../../src/cri/map/pod-spec.js";
import { podSandboxStatusOf } from "../../../../src/cri/map/pod-status.js";
import { PodSandboxConfig, Protocol, type PodSandboxStatus } from "../../../../src/gen/runtime/v1/api.js";
import type { PodSpec } from "../../../../src/runtime/pod/pod-spec.js";
import type { PodRecord } from "../../../../src/runtime/pod/pod-record.js";
import type { PodFacts } from "../../../../src/runtime/pod/pod.js";
import { fullPod as config, mostBytes as most, podMetadata as metadata } from "../requests.js";

const noLimits = {
  ...{
    cpuPeriodUs: 0n,
    cpuQuotaUs: 0n,
    cpuShares: 0n,
    memoryLimitBytes: 0n,
    memorySwapLimitBytes: 0n,
    oomScoreAdj: 0n,
  },
  ...{ cpusetCpus: "", cpusetMems: "", hugePageLimits: [], unified: {} },
};
const ids = { containerId: 0, hostId: 65_536, length: 4096 };
const spec: PodSpec = {
  ...metadata,
  labels: { app: "web" },
  annotations: { "a3s-box/vcpus": "2" },
  handler: "small",
  hostname: "web-0",
  logDirectory: "/var/log/pods/u-1",
  dns: { servers: ["10.0.0.10"], searches: ["a.b"], options: ["ndots:5"] },
  ports: [
    { protocol: "udp", containerPort: 53, hostPort: 5353, hostIp: "10.9.9.9" },
    { protocol: "sctp", containerPort: 1, hostPort: 0, hostIp: "" },
  ],
  cgroupParent: "/kubepods/pod1",
  sysctls: { "kernel.sem": "1 2 3 4" },
  privileged: true,
  namespaces: {
    ...{ network: "pod", pid: "container", ipc: "host", targetId: "t" },
    users: { mode: "pod", uids: [ids], gids: [{ ...ids, hostId: 7 }] },
  },
  resources: { ...noLimits, cpuQuotaUs: -1n, memoryLimitBytes: most },
  overhead: { ...noLimits, memoryLimitBytes: 1n },
};

function statusOf(of: PodSpec): PodSandboxStatus {
  const id = boxId("a".repeat(64));
  const record: PodRecord = {
    ...{ id, label: "", spec: of, createdAtNs: 5n, netnsPath: "", readyAtNs: 6n },
    ...{ version: 3, boundary: "machine" },
  };
  const facts: PodFacts = { id, spec: of, record, state: "ready" };
  return podSandboxStatusOf(facts);
}

describe("a pod as CRI asks for it", () => {
  it("is a spec with every member that means something", () => {
    expect(podSpecOf({ config, runtimeHandler: "small" })).to.deep.equal(spec);
  });

  it("that asks for nothing leaves out what is not said", () => {
    const least = podSpecOf({ config: PodSandboxConfig.fromPartial({ metadata }), runtimeHandler: "" });
    expect(least).to.not.have.any.keys("dns", "namespaces", "resources", "overhead");
    expect(least).to.deep.include({ ...metadata, cgroupParent: "", privileged: false, ports: [], sysctls: {} });
  });

  it("is frozen, and not the request's own", () => {
    const labels = { app: "web" };
    const made = podSpecOf({ config: { ...config, labels }, runtimeHandler: "" });
    labels.app = "other";
    expect(made.labels["app"]).to.equal("web");
    for (const part of [made, made.labels, made.ports, made.ports[0], made.namespaces?.users?.uids[0]]) {
      expect(Object.isFrozen(part)).to.equal(true);
    }
  });

  it("is refused where a number has no name", () => {
    const port = { protocol: Protocol.TCP, containerPort: 1, hostPort: 0, hostIp: "" };
    const wrong = PodSandboxConfig.decode(PodSandboxConfig.encode({ ...config, portMappings: [port, port] }).finish());
    Object.assign(wrong.portMappings[1] ?? {}, { protocol: 9 });
    expect(() => podSpecOf({ config: wrong, runtimeHandler: "" })).to.throw(
      "port_mappings.protocol 9 is not a protocol",
    );
    const mode = structuredClone(config);
    Object.assign(mode.linux?.securityContext?.namespaceOptions ?? {}, { ipc: 7 });
    expect(() => podSpecOf({ config: mode, runtimeHandler: "" })).to.throw("namespace_options.ipc 7 does not exist");
  });

  it("is shown in its status as it was asked for", () => {
    const shown = statusOf(spec);
    expect(shown).to.deep.include({ metadata, labels: config.labels, annotations: config.annotations });
    expect(shown.runtimeHandler).to.equal("small");
    expect(shown.linux?.namespaces?.options).to.deep.equal(config.linux?.securityContext?.namespaceOptions);
    const { namespaces: _, ...silent } = spec;
    expect(statusOf(silent).linux?.namespaces?.options).to.equal(undefined);
  });
});
