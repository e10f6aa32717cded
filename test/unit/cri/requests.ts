/** Requests in which every member is set, as one who wants all of it would make them. */
import {
  LinuxContainerResources,
  LinuxContainerSecurityContext,
  LinuxPodSandboxConfig,
  LinuxSandboxSecurityContext,
  MountPropagation,
  NamespaceMode,
  Protocol,
  SecurityProfile_ProfileType,
  Signal,
  SupplementalGroupsPolicy,
  type ContainerConfig,
  type PodSandboxConfig,
} from "../../../src/gen/runtime/v1/api.js";

const { POD, CONTAINER, NODE } = NamespaceMode;
export const podMetadata = { name: "web", namespace: "shop", uid: "u-1", attempt: 2 };
const range = { hostId: 65_536, containerId: 0, length: 4096 };
export const mostBytes = (1n << 63n) - 1n;

export const fullPod: PodSandboxConfig = {
  metadata: podMetadata,
  hostname: "web-0",
  logDirectory: "/var/log/pods/u-1",
  dnsConfig: { servers: ["10.0.0.10"], searches: ["a.b"], options: ["ndots:5"] },
  portMappings: [
    { protocol: Protocol.UDP, containerPort: 53, hostPort: 5353, hostIp: "10.9.9.9" },
    { protocol: Protocol.SCTP, containerPort: 1, hostPort: 0, hostIp: "" },
  ],
  labels: { app: "web" },
  annotations: { "a3s-box/vcpus": "2" },
  linux: {
    ...LinuxPodSandboxConfig.fromPartial({ cgroupParent: "/kubepods/pod1", sysctls: { "kernel.sem": "1 2 3 4" } }),
    securityContext: LinuxSandboxSecurityContext.fromPartial({
      privileged: true,
      namespaceOptions: {
        ...{ network: POD, pid: CONTAINER, ipc: NODE, targetId: "t" },
        usernsOptions: { mode: POD, uids: [range], gids: [{ ...range, hostId: 7 }] },
      },
    }),
    resources: LinuxContainerResources.fromPartial({ cpuQuota: -1n, memoryLimitInBytes: mostBytes }),
    overhead: LinuxContainerResources.fromPartial({ memoryLimitInBytes: 1n }),
  },
  windows: undefined,
};

export const fullImage = {
  image: "docker.io/library/app:1",
  annotations: { a: "b" },
  userSpecifiedImage: "app",
  runtimeHandler: "h",
  imageRef: "r",
};
export const fullResources: LinuxContainerResources = {
  ...{ cpuPeriod: 1n, cpuQuota: -1n, cpuShares: 3n, memoryLimitInBytes: (1n << 63n) - 1n, oomScoreAdj: -5n },
  ...{ cpusetCpus: "0-1", cpusetMems: "0", hugepageLimits: [{ pageSize: "2MB", limit: 7n }] },
  ...{ unified: { "memory.min": "1" }, memorySwapLimitInBytes: 4n },
};
export const fullMounts: ContainerConfig["mounts"] = [
  {
    ...{ containerPath: "/data", hostPath: "/host", readonly: true, recursiveReadOnly: true, selinuxRelabel: true },
    ...{ propagation: MountPropagation.PROPAGATION_HOST_TO_CONTAINER, mountOptions: ["noexec"] },
    ...{ uidMappings: [range], gidMappings: [{ ...range, hostId: 9 }], image: undefined, imageSubPath: "" },
  },
  {
    ...{ containerPath: "/img", hostPath: "", readonly: true, recursiveReadOnly: false, selinuxRelabel: false },
    ...{ propagation: MountPropagation.PROPAGATION_PRIVATE, mountOptions: [], uidMappings: [], gidMappings: [] },
    ...{ image: fullImage, imageSubPath: "sub" },
  },
];
export const fullContainer: ContainerConfig = {
  metadata: { name: "app", attempt: 3 },
  image: fullImage,
  ...{
    command: ["/app"],
    args: ["-x"],
    workingDir: "/w",
    envs: [{ key: "A", value: Buffer.from("ü") }],
    mounts: fullMounts,
  },
  devices: [{ hostPath: "/dev/fuse", containerPath: "/dev/fuse", permissions: "rw" }],
  ...{ labels: { l: "1" }, annotations: { n: "2" }, logPath: "app/3.log", stdin: true, stdinOnce: true, tty: false },
  linux: {
    resources: fullResources,
    securityContext: LinuxContainerSecurityContext.fromPartial({
      capabilities: { addCapabilities: ["NET_ADMIN"], dropCapabilities: ["ALL"], addAmbientCapabilities: ["KILL"] },
      namespaceOptions: {
        network: NamespaceMode.POD,
        pid: NamespaceMode.TARGET,
        ipc: NamespaceMode.POD,
        targetId: "t",
      },
      ...{ runAsUser: { value: 5n }, runAsGroup: { value: 6n }, supplementalGroups: [7n] },
      ...{ supplementalGroupsPolicy: SupplementalGroupsPolicy.Strict, noNewPrivs: true, readonlyRootfs: true },
      ...{ maskedPaths: ["/m"], readonlyPaths: ["/r"] },
      seccomp: { profileType: SecurityProfile_ProfileType.Localhost, localhostRef: "/p.json" },
    }),
  },
  ...{ windows: undefined, CDIDevices: [{ name: "v/c=d" }], stopSignal: Signal.SIGRTMINPLUS3 },
};
