/** Sandboxes, as E2B's control REST tells of them. */
import type { SandboxEgress, SandboxUsage, SandboxView } from "../../core/sandbox.js";
import { trafficToken } from "../access.js";
import { envdVersion } from "../options.js";

export function sandboxOf(view: SandboxView, domain: string | undefined): unknown {
  return {
    ...named(view),
    envdAccessToken: view.accessToken,
    trafficAccessToken: trafficToken(view),
    domain: domain ?? null,
  };
}

export function listedOf(view: SandboxView): Readonly<Record<string, unknown>> {
  return {
    ...named(view),
    startedAt: new Date(view.startedAtMs).toISOString(),
    endAt: new Date(view.endsAtMs).toISOString(),
    state: view.state === "paused" ? "paused" : "running",
    cpuCount: view.vcpus,
    memoryMB: view.memoryMib,
    diskSizeMB: view.diskMib,
    metadata: view.metadata,
    volumeMounts: [],
  };
}

export function detailOf(view: SandboxView, domain: string | undefined): unknown {
  return {
    ...listedOf(view),
    envdAccessToken: view.accessToken,
    domain: domain ?? null,
    allowInternetAccess: view.network !== "none" && view.egress?.rest !== "deny",
    ...(view.egress === undefined ? {} : { network: networkShape(view.egress) }),
    lifecycle: { onTimeout: view.atEnd === "pause" ? "pause" : "kill", autoResume: false },
  };
}

function networkShape({ allowOut, denyOut, rest }: SandboxEgress): unknown {
  return { allowOut, denyOut: rest === "deny" ? ["0.0.0.0/0", ...denyOut] : denyOut };
}

function named(view: SandboxView): Readonly<Record<string, unknown>> {
  return {
    templateID: view.template,
    alias: view.template,
    sandboxID: view.id,
    clientID: "a3s-box",
    envdVersion,
  };
}

export function metricOf(usage: SandboxUsage): unknown {
  return {
    timestamp: new Date(usage.atMs).toISOString(),
    timestampUnix: Math.floor(usage.atMs / 1000),
    cpuCount: usage.vcpus,
    cpuUsedPct: usage.cpuPercent,
    memUsed: usage.memoryUsedBytes,
    memTotal: usage.memoryTotalBytes,
    memCache: usage.memoryCacheBytes,
    diskUsed: usage.diskUsedBytes,
    diskTotal: usage.diskTotalBytes,
  };
}
