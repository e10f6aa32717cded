/**
 * CRI PodSandboxStats. CPU and memory are the Box's on the host, VMM and file server: what the pod costs its node. Network
 * is as the guest's interfaces count it, and the processes are those of the containers.
 * Source: api.proto, PodSandboxStats; callers: `crictl statsp`, and kubelet with PodAndContainerStatsFromCRI (kubelet.md 1.2).
 */
import { nowNs } from "../../base/clock.js";
import type { InterfaceStats, StatsResponse } from "../../gen/agent/v1/agent.js";
import type {
  LinuxPodSandboxStats,
  NetworkInterfaceUsage,
  NetworkUsage,
  PodSandboxStats,
  PodSandboxStatsFilter,
} from "../../gen/runtime/v1/api.js";
import type { Deps } from "../deps.js";
import { fitsFilter } from "../pod/status.js";
import type { Sandbox } from "../pod/sandbox.js";
import { askBoxes, type BoxAnswers } from "./ask-boxes.js";
import { fromAnswers } from "./container-stats.js";

/** A guest is not believed to have more; IFNAMSIZ of netdevice(7), less the closing NUL. */
const mostInterfaces = 16;
const longestName = 15;

/** What has figures: the READY sandboxes that fit. */
export function measuredSandboxes(filter: PodSandboxStatsFilter | undefined, deps: Deps): Sandbox[] {
  const whole = filter === undefined ? undefined : { ...filter, state: undefined };
  return deps.sandboxes.list().filter((one) => one.state === "ready" && fitsFilter(one, whole));
}

/** One per sandbox, in their order; one whose Box does not answer has only the host's figures. */
export async function sandboxStatsOf(
  sandboxes: readonly Sandbox[],
  deps: Deps,
  signal: AbortSignal,
): Promise<PodSandboxStats[]> {
  const answers = await askBoxes(
    sandboxes.map(({ id }) => id),
    deps,
    signal,
  );
  return await Promise.all(
    sandboxes.map(async (sandbox) => {
      const { metadata, labels, annotations } = sandbox.config;
      const attributes = { id: sandbox.id, metadata, labels, annotations };
      return { attributes, linux: await linuxStats(sandbox, answers, deps), windows: undefined };
    }),
  );
}

async function linuxStats(sandbox: Sandbox, answers: BoxAnswers, deps: Deps): Promise<LinuxPodSandboxStats> {
  const running = deps.containers.listOf(sandbox.id).filter(({ state }) => state === "running");
  const answer = answers.get(sandbox.id);
  const [cpuNs, memoryBytes, containers] = await Promise.all([
    sandbox.box?.cpuTime() ?? 0n,
    sandbox.box?.memoryUsage() ?? 0n,
    fromAnswers(running, answers, deps),
  ]);
  const timestamp = nowNs();
  const count = BigInt.asUintN(64, answer?.sessions.reduce((sum, { pids }) => sum + pids, 0n) ?? 0n);
  return {
    cpu: { timestamp, usageCoreNanoSeconds: { value: cpuNs }, usageNanoCores: undefined, psi: undefined },
    memory: {
      timestamp,
      workingSetBytes: { value: memoryBytes },
      availableBytes: undefined,
      usageBytes: { value: memoryBytes },
      rssBytes: { value: memoryBytes },
      pageFaults: undefined,
      majorPageFaults: undefined,
      psi: undefined,
    },
    network: networkUsage(sandbox, answer, timestamp),
    process: { timestamp, processCount: { value: count } },
    containers,
    io: undefined,
  };
}

/** Unset for a pod without a network, and where the Box did not answer. */
function networkUsage(
  sandbox: Sandbox,
  answer: StatsResponse | undefined,
  timestamp: bigint,
): NetworkUsage | undefined {
  const name = sandbox.record.network?.interfaceName;
  if (name === undefined || answer?.guest === undefined) return undefined;
  const interfaces = networkInterfaces(sandbox, answer).map(interfaceUsage);
  return { timestamp, defaultInterface: interfaces.find((one) => one.name === name), interfaces };
}

/** As the guest counts them, each name once; none of a pod without a network. */
export function networkInterfaces(sandbox: Sandbox, answer: StatsResponse): InterfaceStats[] {
  if (sandbox.record.network?.interfaceName === undefined) return [];
  const interfaces = answer.guest?.interfaces.slice(0, mostInterfaces) ?? [];
  const named = new Map(interfaces.map((one) => [one.name.slice(0, longestName), one]));
  return [...named].map(([name, one]) => ({ ...one, name }));
}

function interfaceUsage({ name, rxBytes, rxErrors, txBytes, txErrors }: InterfaceStats): NetworkInterfaceUsage {
  return {
    name,
    rxBytes: { value: rxBytes },
    rxErrors: { value: rxErrors },
    txBytes: { value: txBytes },
    txErrors: { value: txErrors },
  };
}
