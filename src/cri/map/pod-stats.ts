/**
 * Source: api.proto, PodSandboxStats; callers: `crictl statsp`, and kubelet with PodAndContainerStatsFromCRI (kubelet.md
 * 1.2).
 */
import type { InterfaceStats } from "../../gen/agent/v1/agent.js";
import type {
  LinuxPodSandboxStats,
  NetworkInterfaceUsage,
  NetworkUsage,
  PodSandboxStats,
  PodSandboxStatsFilter,
} from "../../gen/runtime/v1/api.js";
import type { Sandbox } from "../../runtime/pod/sandbox.js";
import type { SandboxUsage } from "../../runtime/stats/sandbox-stats.js";
import type { Deps } from "../deps.js";
import { containerStatsOf } from "./container-stats.js";
import { fitsFilter } from "./pod-status.js";

/** What is measured: the READY sandboxes that fit. */
export function measuredSandboxes(filter: PodSandboxStatsFilter | undefined, deps: Deps): Sandbox[] {
  const whole = filter === undefined ? undefined : { ...filter, state: undefined };
  return deps.sandboxes.list().filter((one) => one.state === "ready" && fitsFilter(one, whole));
}

export function podSandboxStatsOf(usage: SandboxUsage): PodSandboxStats {
  const { id, spec } = usage.sandbox;
  const { name, namespace, uid, attempt, labels, annotations } = spec;
  const metadata = { name, namespace, uid, attempt };
  const attributes = { id, metadata, labels: { ...labels }, annotations: { ...annotations } };
  return { attributes, linux: linuxStats(usage), windows: undefined };
}

function linuxStats(usage: SandboxUsage): LinuxPodSandboxStats {
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

function networkUsage({ network, atNs: timestamp }: SandboxUsage): NetworkUsage | undefined {
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
