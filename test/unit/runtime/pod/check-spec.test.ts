import { expect } from "chai";
import {
  NamespaceMode,
  NamespaceOption,
  type PodSandboxConfig,
  type RunPodSandboxRequest,
} from "../../../../src/gen/runtime/v1/api.js";
import { configOf } from "../../../../src/config/load.js";
import { podSpecOf } from "../../../../src/cri/map/pod-spec.js";
import { checkPodSpec } from "../../../../src/runtime/pod/check-spec.js";
import { linuxConfig, podRequest, resources } from "./fakes.js";

const { handlers } = configOf(new Map());
const boxes = { driver: "qemu", idMapping: () => ({ by: "server" as const }) } as const;
const checkSandboxRequest = (request: RunPodSandboxRequest) =>
  checkPodSpec(
    podSpecOf(request),
    { handlers, hostNamespaces: "refuse", cgroup: { driver: "cgroupfs", outlivesContainer: false, memoryMib: 0 } },
    boxes,
  );

const metadata = { name: "web", namespace: "shop", uid: "u-1", attempt: 0 };

function namespaces(options: Partial<NamespaceOption>): Partial<PodSandboxConfig> {
  const namespaceOptions = { ...NamespaceOption.fromPartial({}), ...options };
  return { linux: linuxConfig({ securityContext: security(namespaceOptions) }) };
}

function security(namespaceOptions: NamespaceOption) {
  return {
    namespaceOptions,
    selinuxOptions: undefined,
    runAsUser: undefined,
    runAsGroup: undefined,
    readonlyRootfs: false,
    supplementalGroups: [],
    supplementalGroupsPolicy: 0 as const,
    privileged: false,
    seccomp: undefined,
    apparmor: undefined,
    seccompProfilePath: "",
  };
}

const port = { protocol: 0 as const, containerPort: 80, hostPort: 0, hostIp: "" };
const mapping = { hostId: 1000, containerId: 0, length: 10 };
const dns = { servers: ["10.0.0.10"], searches: ["a.b"], options: ["ndots:5"] };
const { POD, NODE, CONTAINER, TARGET } = NamespaceMode;

describe("the check of a sandbox's config", () => {
  const accepted: Record<string, Partial<PodSandboxConfig>> = {
    "the least there is": {},
    "everything in order": {
      hostname: "web-0.shop",
      logDirectory: "/var/log/pods/shop_web_u-1",
      dnsConfig: dns,
      portMappings: [port],
      linux: linuxConfig({ cgroupParent: "/kubepods/burstable/podu-1", sysctls: { "kernel.shm_rmid_forced": "1" } }),
    },
    "a cgroup parent without its slash": { linux: linuxConfig({ cgroupParent: "kubepods/podx" }) },
    "unlimited resources": { linux: linuxConfig({ resources: resources({ cpuQuota: -1n, cpuPeriod: 100_000n }) }) },
    "a pid namespace per container": namespaces({ pid: CONTAINER }),
    "a user namespace": namespaces({ usernsOptions: { mode: POD, uids: [mapping], gids: [mapping] } }),
    "no user namespace, said with NODE": namespaces({ usernsOptions: { mode: NODE, uids: [], gids: [] } }),
  };
  for (const [what, config] of Object.entries(accepted)) {
    it(`accepts ${what}`, () => {
      expect(checkSandboxRequest(podRequest(config)).spec).to.deep.include(metadata);
    });
  }

  const refused: [string, Partial<PodSandboxConfig>, RegExp][] = [
    ["no metadata", { metadata: undefined }, /^config\.metadata is missing$/],
    ["no name", { metadata: { ...metadata, name: "" } }, /^config\.metadata\.name is empty$/],
    ["no namespace", { metadata: { ...metadata, namespace: "" } }, /^config\.metadata\.namespace is empty$/],
    ["no uid", { metadata: { ...metadata, uid: "" } }, /^config\.metadata\.uid is empty$/],
    ["a name with a line end", { metadata: { ...metadata, name: "a\nb" } }, /name has control characters/],
    ["an endless name", { metadata: { ...metadata, name: "a".repeat(254) } }, /name is longer than 253/],
    ["a hostname that Linux can't hold", { hostname: "a".repeat(65) }, /64 characters that Linux allows/],
    ["a hostname that is none", { hostname: "a b" }, /hostname "a b" is not a DNS name/],
    ["a relative log directory", { logDirectory: "logs" }, /log_directory "logs" is not an absolute path/],
    ["a log directory that climbs", { logDirectory: "/a/../b" }, /log_directory .* has "\.\." in it/],
    ["a DNS server that is none", { dnsConfig: { ...dns, servers: ["a"] } }, /servers "a" is not an IP address/],
    [
      "two lines in a search",
      { dnsConfig: { ...dns, searches: ["a\nnameserver 1.1.1.1"] } },
      /searches .* not a domain/,
    ],
    ["two words in an option", { dnsConfig: { ...dns, options: ["a b"] } }, /options "a b" is not an option/],
    ["a port over 65535", { portMappings: [{ ...port, containerPort: 65_536 }] }, /container_port 65536 is not a port/],
    ["a negative host port", { portMappings: [{ ...port, hostPort: -1 }] }, /host_port -1 is not a port/],
    ["a host ip that is none", { portMappings: [{ ...port, hostIp: "x" }] }, /host_ip "x" is not an IP address/],
    ["a systemd slice", { linux: linuxConfig({ cgroupParent: "kubepods-podx.slice" }) }, /systemd slice.*cgroupDriver/],
    [
      "a cgroup that climbs",
      { linux: linuxConfig({ cgroupParent: "/a/../../b" }) },
      /cgroup_parent .* has "\.\." in it/,
    ],
    [
      "a sysctl that is a path",
      { linux: linuxConfig({ sysctls: { "../x": "1" } }) },
      /"\.\.\/x"\] is not a sysctl's name/,
    ],
    ["a sysctl of two lines", { linux: linuxConfig({ sysctls: { "a.b": "1\n2" } }) }, /control characters/],
    ["the host's network", namespaces({ network: NODE }), /network NODE .* out of a microVM/],
    ["the host's processes", namespaces({ pid: NODE }), /pid NODE .* out of a microVM/],
    ["the host's IPC", namespaces({ ipc: NODE }), /ipc NODE .* out of a microVM/],
    ["a container's network", namespaces({ network: CONTAINER }), /network CONTAINER does not exist for a sandbox/],
    ["another container's pid namespace", namespaces({ pid: TARGET }), /pid TARGET does not exist for a sandbox/],
    ["user namespace: no mapping", namespaces({ usernsOptions: { mode: POD, uids: [], gids: [] } }), /exactly one/],
    [
      "user namespace: two mappings",
      namespaces({ usernsOptions: { mode: POD, uids: [mapping, mapping], gids: [mapping] } }),
      /uids must hold exactly one mapping/,
    ],
    [
      "user namespace: root not mapped",
      namespaces({ usernsOptions: { mode: POD, uids: [mapping], gids: [{ ...mapping, containerId: 1 }] } }),
      /gids must map container id 0/,
    ],
    [
      "user namespace: mode TARGET",
      namespaces({ usernsOptions: { mode: TARGET, uids: [], gids: [] } }),
      /neither POD nor NODE/,
    ],
    [
      "user namespace: root's own id",
      namespaces({ usernsOptions: { mode: POD, uids: [{ ...mapping, hostId: 0 }], gids: [mapping] } }),
      /uids maps to root's own id/,
    ],
    [
      "user namespace: ids beyond the last",
      namespaces({ usernsOptions: { mode: POD, uids: [mapping], gids: [{ ...mapping, hostId: 0xffff_fffe }] } }),
      /gids maps to ids that there are not/,
    ],
    [
      "negative memory",
      { linux: linuxConfig({ resources: resources({ memoryLimitInBytes: -1n }) }) },
      /memory_limit_in_bytes -1/,
    ],
    ["a quota under -1", { linux: linuxConfig({ overhead: resources({ cpuQuota: -2n }) }) }, /overhead\.cpu_quota -2/],
    ["a period of 1 µs", { linux: linuxConfig({ resources: resources({ cpuPeriod: 1n }) }) }, /cpu_period 1 .*1000 to/],
  ];
  for (const [what, config, message] of refused) {
    it(`refuses ${what}`, () => {
      expect(() => checkSandboxRequest(podRequest(config)))
        .to.throw(message)
        .with.property("code", "invalidArgument");
    });
  }

  it("refuses a request without a config", () => {
    expect(() => checkSandboxRequest({ config: undefined, runtimeHandler: "" })).to.throw("config is missing");
  });

  it("takes the handlers that are Boxes and refuses others", () => {
    expect(checkSandboxRequest({ ...podRequest(), runtimeHandler: "microvm" }).spec.handler).to.equal("microvm");
    expect(() => checkSandboxRequest({ ...podRequest(), runtimeHandler: "gvisor" })).to.throw(/"gvisor" is unknown/);
    expect(() => checkSandboxRequest({ ...podRequest(), runtimeHandler: "native" })).to.throw(/"native" is unknown/);
  });
});
