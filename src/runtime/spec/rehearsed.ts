/** A container as most pods have it, for Boxes that have no pod yet: what its start takes of a guest has then been done once. */
import type { RehearsedPlaces } from "../../vmm/pool/warm-up.js";
import type { ContainerSpec } from "../container/container-spec.js";
import { finishSpec, planSpec } from "./build-spec.js";
import { maskedPaths, readonlyPaths } from "./closed-paths.js";
import { guestRules } from "./guest-rules.js";
import { placeDeclared, type PlacedMount } from "./mounts.js";
import type { OciSpec } from "./oci.js";

const podFiles = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];
const tokenDirectory = "/var/run/secrets/kubernetes.io/serviceaccount";
const mib = 1_048_576n;

const usual: ContainerSpec = {
  ...{ name: "rehearsed", attempt: 0, labels: {}, annotations: {} },
  image: { name: "", annotations: {}, userSpecified: "", handler: "", reference: "" },
  ...{ command: [], args: [], workingDir: "", env: [], mounts: [], devices: [], cdiDevices: [] },
  ...{ logPath: "", stdin: false, stdinOnce: false, tty: false },
  security: {
    ...{ privileged: false, readonlyRootfs: false, noNewPrivileges: false },
    capabilities: { add: [], drop: [], ambient: [] },
    namespaces: { network: "pod", pid: "container", ipc: "pod", targetId: "" },
    user: { user: "0", group: "", supplementalGroups: [], hasGroupsOfImage: true },
    seccomp: { kind: "default" },
    ...{ maskedPaths, readonlyPaths },
  },
  resources: {
    ...{ cpuPeriodUs: 100_000n, cpuQuotaUs: 100_000n, cpuShares: 1024n },
    ...{ memoryLimitBytes: 64n * mib, memorySwapLimitBytes: 0n, oomScoreAdj: 0n },
    ...{ cpusetCpus: "", cpusetMems: "", hugePageLimits: [], unified: {} },
  },
};

const noImage = {
  ...{ entrypoint: [], cmd: [], env: [], workingDir: "", user: "", stopSignal: "", labels: {}, volumes: [] },
  platform: "",
};

/** `args`: the program that it runs, by its absolute path, and its arguments. */
export function rehearsedContainer(
  args: readonly string[],
  { root, file, directory, sharedMemory }: RehearsedPlaces,
): OciSpec {
  const plan = planSpec({
    id: usual.name,
    spec: { ...usual, command: args },
    image: noImage,
    database: { passwd: "", group: "" },
    sandbox: { hostname: "", privileged: false },
    targetPid: undefined,
    rules: guestRules,
  });
  const mounts: PlacedMount[] = podFiles.map((path) => placeDeclared(path, file));
  mounts.push({ ...placeDeclared(tokenDirectory, directory), readonly: true });
  return finishSpec(plan, root, mounts, sharedMemory);
}
