/**
 * Source: api.proto, PodSandboxStats; callers: `crictl statsp`, and kubelet with PodAndContainerStatsFromCRI
 * (pkg/kubelet/stats/cri_stats_provider.go).
 */
import type { InterfaceStats } from "../../gen/agent/v1/agent.js";
import type {
  LinuxPodSandboxStats,
  NetworkInterfaceUsage,
  NetworkUsage,
  PodSandboxStats,
  PodSandboxStatsFilter,
} from "../../gen/runtime/v1/api.js";
import type { Pod } from "../../runtime/pod/pod.js";
import type { PodUsage } from "../../runtime/stats/pod-stats.js";
import type { Deps } from "../deps.js";
import { containerStatsOf } from "./container-stats.js";
import { fitsFilter } from "./pod-status.js";

/** What is measured: the READY sandboxes that fit. */
export function measuredSandboxes(filter: PodSandboxStatsFilter | undefined, deps: Deps): Pod[] {
  const whole = filter === undefined ? undefined : { ...filter, state: undefined };
  return deps.sandboxes.list().filter((one) => one.state === "ready" && fitsFilter(one, whole));
}

export function podSandboxStatsOf(usage: PodUsage): PodSandboxStats {
  const { id, spec } = usage.sandbox;
  const { name, namespace, uid, attempt, labels, annotations } = spec;
  const metadata = { name, namespace, uid, attempt };
  const attributes = { id, metadata, labels: { ...labels }, annotations: { ...annotations } };
  return { attributes, linux: linuxStats(usage), windows: undefined };
}

function linuxStats(usage: PodUsage): LinuxPodSandboxStats {
  const { atNs: timestamp, cpuNs, memoryBytes, processes, containers } = usage;
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
    network: networkUsage(usage),
    process: { timestamp, processCount: { value: processes } },
    containers: containers.map(containerStatsOf),
    io: undefined,
  };
}

function networkUsage({ network, atNs: timestamp }: PodUsage): NetworkUsage | undefined {
  if (network === undefined) return undefined;
  const interfaces = network.interfaces.map(interfaceUsage);
  return { timestamp, defaultInterface: interfaces.find(({ name }) => name === network.defaultInterface), interfaces };
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
