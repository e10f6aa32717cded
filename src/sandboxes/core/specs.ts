/** The pod and the container that a sandbox is. Pure. */
import { join } from "node:path";
import { RuntimeError } from "../../base/errors.js";
import { llmAnnotation } from "../../config/llm-grants.js";
import {
  containerSpec,
  type ContainerSpec,
  type MountSpec,
  type UserSpec,
} from "../../runtime/container/container-spec.js";
import { maskedPaths, readonlyPaths } from "../../runtime/spec/closed-paths.js";
import { podSpec, type DnsSpec, type PodSpec } from "../../runtime/pod/pod-spec.js";
import type { EgressSpec } from "../../net/egress/policy.js";
import { isOfSkills, skillsAnnotation, sourcesText } from "../../runtime/skills/annotation.js";
import type { SkillSource } from "../../runtime/skills/pod-skills.js";
import { dnsEnds } from "../../net/egress/ruleset.js";
import { logDirectory, logName } from "./logs.js";
import type { SandboxPlan } from "./plan.js";
import type { SandboxMount, SandboxName } from "./sandbox.js";

/** For `crictl pods --label`; the values are not read back: a pod's spec says whose it is. */
const labelOf = {
  madeFor: "a3s.dev/made-for",
  sandbox: "a3s.dev/sandbox",
  tenant: "a3s.dev/tenant",
  template: "a3s.dev/template",
} as const;
export const containerName = "main";
/** In the container's own /dev, which is no part of its root: nothing is left in what it writes. */
export const holderPath = "/dev/a3s-init";
/** Of the guest base, in the directory of assets: static, it needs nothing of the image. */
const holderProgram = "guest/usr/bin/agent";
const periodUs = 100_000n;
const bytesPerMib = 1_048_576n;

/** `skills`: directories of the host that its skills come from. */
export function podSpecOf(
  id: SandboxName,
  tenant: string,
  plan: SandboxPlan,
  { root, skills }: { readonly root: string; readonly skills: readonly SkillSource[] },
): PodSpec {
  const nothing = { cpuShares: 0n, memorySwapLimitBytes: 0n, oomScoreAdj: 0n, cpusetCpus: "", cpusetMems: "" };
  const spec: PodSpec = {
    ...{ name: id, namespace: tenant, uid: id, attempt: 0 },
    labels: {
      [labelOf.madeFor]: "agents",
      [labelOf.sandbox]: id,
      [labelOf.tenant]: tenant,
      [labelOf.template]: plan.template,
    },
    annotations: {
      ...(plan.llm.length === 0 ? {} : { [llmAnnotation]: plan.llm.join(",") }),
      ...(skills.length === 0 ? {} : { [skillsAnnotation]: sourcesText(skills) }),
    },
    handler: "",
    hostname: "",
    logDirectory: logDirectory(root, id),
    ports: [],
    cgroupParent: "",
    sysctls: {},
    privileged: false,
    resources: {
      cpuPeriodUs: periodUs,
      cpuQuotaUs: BigInt(plan.vcpus) * periodUs,
      memoryLimitBytes: BigInt(plan.memoryMib) * bytesPerMib,
      ...{ ...nothing, hugePageLimits: [], unified: {} },
    },
    madeFor: "agents",
    ...(plan.network === "none" ? { network: "none" } : {}),
    ...(plan.egress === undefined ? {} : { egress: plan.egress, dns: dnsOf(plan.egress) }),
  };
  return podSpec.parse(spec); // a copy of its own, frozen
}

/** Where names are allowed the rules lead every question to the daemon, whomever it is for: so any address will do. */
function dnsOf({ nameServers }: EgressSpec): DnsSpec {
  return { servers: nameServers.length === 0 ? [dnsEnds[4].own] : [...nameServers], searches: [], options: [] };
}

/**
 * Its first process is ours: a sandbox must not end because the program of an image does, or because it has none.
 * `within`: of each mount, the directory that it has to be in.
 */
export function containerSpecOf(plan: SandboxPlan, assetsDir: string, within: readonly string[]): ContainerSpec {
  const holder = { hostPath: join(assetsDir, holderProgram), path: holderPath, readonly: true };
  const spec: ContainerSpec = {
    ...{ name: containerName, attempt: 0, labels: {}, annotations: {} },
    image: { name: plan.image, annotations: {}, userSpecified: "", handler: "", reference: "" },
    command: [holderPath, "hold", ...plan.startCommand],
    args: [],
    workingDir: plan.workingDir,
    env: Object.entries(plan.env).map(([name, value]) => ({ name, value })),
    mounts: [mountSpecOf(holder), ...plan.mounts.map((mount, at) => mountSpecOf(mount, within[at]))],
    ...{ devices: [], cdiDevices: [], logPath: logName, stdin: false, stdinOnce: false, tty: false },
    security: {
      ...{ privileged: false, readonlyRootfs: false, noNewPrivileges: false },
      capabilities: { add: [], drop: [], ambient: [] },
      namespaces: { network: "pod", pid: "container", ipc: "pod", targetId: "" },
      user: userSpecOf(plan.user),
      seccomp: { kind: "default" },
      ...{ maskedPaths, readonlyPaths },
    },
    stopSignal: "SIGTERM",
    ...(plan.diskBound === "none"
      ? {}
      : { disk: { sizeBytes: BigInt(plan.diskMib) * bytesPerMib, by: plan.diskBound } }),
  };
  return containerSpec.parse(spec); // a copy of its own, frozen
}

/** Those that the caller has asked for. */
export function mountsOf({ mounts }: Pick<ContainerSpec, "mounts">, pod: string): SandboxMount[] {
  return mounts
    .filter(({ containerPath, hostPath }) => containerPath !== holderPath && !isOfSkills(hostPath, pod))
    .map(({ hostPath, containerPath: path, readonly }) => ({ hostPath, path, readonly }));
}

/** As the caller wrote it. */
export function userOf({ security: { user } }: Pick<ContainerSpec, "security">): string {
  return user.group === "" ? user.user : `${user.user}:${user.group}`;
}

function userSpecOf(text: string): UserSpec {
  const [user = "", group = "", ...more] = text.split(":");
  if (more.length > 0 || (user === "" && group !== "")) {
    throw new RuntimeError("invalidArgument", `user ${JSON.stringify(text)} is no name, id or user:group`);
  }
  return { user, group, supplementalGroups: [], hasGroupsOfImage: true };
}

function mountSpecOf({ hostPath, path, readonly }: SandboxMount, within?: string): MountSpec {
  return {
    ...(within === undefined ? {} : { within }),
    ...{ containerPath: path, hostPath, readonly, recursiveReadonly: false, propagation: "private", options: [] },
    ...{ imageSubPath: "", uidMappings: [], gidMappings: [], selinuxRelabel: false },
  };
}
