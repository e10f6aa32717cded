/**
 * What pods use. CPU and memory are the Box's on the host, VMM and file server: what the pod costs its node. Network is as
 * the guest's interfaces count it, and the processes are those of the containers.
 */
import { nowNs } from "../../base/clock.js";
import type { InterfaceStats, StatsResponse } from "../../gen/agent/v1/agent.js";
import type { Deps } from "../deps.js";
import type { Pod } from "../pod/pod.js";
import { askBoxes, type BoxAnswers } from "./ask-boxes.js";
import { fromAnswers, type ContainerUsage } from "./container-stats.js";

/** A guest is not believed to have more; IFNAMSIZ of netdevice(7), less the closing NUL. */
const mostInterfaces = 16;
const longestName = 15;

export interface NetworkUse {
  /** Name of the interface that the pod's network is behind. */
  readonly defaultInterface: string;
  readonly interfaces: readonly InterfaceStats[];
}

export interface PodUsage {
  readonly sandbox: Pod;
  readonly atNs: bigint;
  readonly cpuNs: bigint;
  readonly memoryBytes: bigint;
  readonly processes: bigint;
  /** undefined for a pod without a network, and where the Box did not answer. */
  readonly network: NetworkUse | undefined;
  /** Of those that run. */
  readonly containers: readonly ContainerUsage[];
}

/** One per sandbox, in their order; one whose Box does not answer has only what the host counts. */
export async function sandboxUsageOf(sandboxes: readonly Pod[], deps: Deps, signal: AbortSignal): Promise<PodUsage[]> {
  const answers = await askBoxes(
    sandboxes.map(({ id }) => id),
    deps,
    signal,
  );
  return await Promise.all(sandboxes.map((sandbox) => usageOfOne(sandbox, answers, deps, signal)));
}

async function usageOfOne(sandbox: Pod, answers: BoxAnswers, deps: Deps, signal: AbortSignal): Promise<PodUsage> {
  const running = deps.containers.listOf(sandbox.id).filter(({ state }) => state === "running");
  const answer = answers.get(sandbox.id);
  const [cpuNs, memoryBytes, containers] = await Promise.all([
    sandbox.box?.cpuTime() ?? 0n,
    sandbox.box?.memoryUsage() ?? 0n,
    fromAnswers(running, answers, deps, signal),
  ]);
  const count = answer?.sessions.reduce((sum, { pids }) => sum + pids, 0n) ?? 0n;
  const processes = BigInt.asUintN(64, count);
  return { sandbox, atNs: nowNs(), cpuNs, memoryBytes, processes, network: networkUse(sandbox, answer), containers };
}

function networkUse(sandbox: Pod, answer: StatsResponse | undefined): NetworkUse | undefined {
  const name = sandbox.record.network?.interfaceName;
  if (name === undefined || answer?.guest === undefined) return undefined;
  return { defaultInterface: name, interfaces: networkInterfaces(sandbox, answer) };
}

/** As the guest counts them, each name once; none of a pod without a network. */
export function networkInterfaces(sandbox: Pod, answer: StatsResponse): InterfaceStats[] {
  if (sandbox.record.network?.interfaceName === undefined) return [];
  const interfaces = answer.guest?.interfaces.slice(0, mostInterfaces) ?? [];
  const named = new Map(interfaces.map((one) => [one.name.slice(0, longestName), one]));
  return [...named].map(([name, one]) => ({ ...one, name }));
}
