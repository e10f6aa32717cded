import {
  AtEnd,
  Network,
  SandboxState as State,
  type Sandbox,
  type GetSandboxUsageResponse,
} from "../gen/sandboxes/v1/sandboxes.js";

export type SandboxState = "starting" | "running" | "paused" | "ended";

export interface SandboxMount {
  /** Absolute path on the node, within what its configuration allows. */
  readonly hostPath: string;
  readonly path: string;
  readonly readonly?: boolean;
}

/** The coding agent that a sandbox was made with. */
export interface CodingAgentInfo {
  readonly name: string;
  /** Whose preset it has: "opencode", "codex" … */
  readonly kind: string;
  /** Speaks ACP by standard input and output; empty: it can't. */
  readonly command: readonly string[];
}

export interface SandboxInfo {
  readonly sandboxId: string;
  readonly templateId: string;
  readonly image: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly startedAt: Date;
  /** When it ends unless it is extended; the last day that there is where it never does. */
  readonly endAt: Date;
  readonly state: SandboxState;
  readonly cpuCount: number;
  readonly memoryMB: number;
  readonly diskMB: number;
  readonly envs: Readonly<Record<string, string>>;
  readonly user: string;
  readonly cwd: string;
  readonly mounts: readonly SandboxMount[];
  /** none: a loopback alone. */
  readonly network: "none" | "pod";
  readonly onTimeout: "kill" | "pause";
  readonly endsWithOwner: boolean;
  /** Absent: it was made without one. */
  readonly agent?: CodingAgentInfo;
  /** Whose quota it counts in. */
  readonly tenant: string;
  /** What crictl knows it by. */
  readonly podId: string;
  readonly containerId: string;
}

/** Of now. */
export interface SandboxMetrics {
  readonly timestamp: Date;
  readonly cpuCount: number;
  /** Of one vCPU. */
  readonly cpuUsedPct: number;
  /** Bytes, as the others. */
  readonly memUsed: number;
  readonly memTotal: number;
  readonly memCache: number;
  readonly diskUsed: number;
  readonly diskTotal: number;
}

/** Of ECMAScript. */
const lastDayMs = 8_640_000_000_000_000;

const states: Partial<Record<State, SandboxState>> = {
  [State.STARTING]: "starting",
  [State.RUNNING]: "running",
  [State.PAUSED]: "paused",
  [State.ENDED]: "ended",
};

export function stateNumber(state: SandboxState): State {
  switch (state) {
    case "starting":
      return State.STARTING;
    case "running":
      return State.RUNNING;
    case "paused":
      return State.PAUSED;
    case "ended":
      return State.ENDED;
  }
}

export function sandboxInfo(sandbox: Sandbox): SandboxInfo {
  const { image, metadata, user, mounts, endsWithOwner, tenant, podId, containerId } = sandbox;
  return {
    ...{ image, metadata, user, endsWithOwner, tenant, podId, containerId },
    sandboxId: sandbox.id,
    templateId: sandbox.template,
    startedAt: sandbox.startedAt ?? new Date(0),
    endAt: sandbox.endsAt ?? new Date(lastDayMs),
    state: states[sandbox.state] ?? "ended",
    cpuCount: sandbox.vcpus,
    memoryMB: sandbox.memoryMib,
    diskMB: sandbox.diskMib,
    envs: sandbox.env,
    cwd: sandbox.workingDir,
    mounts: mounts.map(({ hostPath, path, readonly }) => ({ hostPath, path, readonly })),
    network: sandbox.network === Network.NONE ? "none" : "pod",
    onTimeout: sandbox.atEnd === AtEnd.PAUSE ? "pause" : "kill",
    ...(sandbox.agent === undefined ? {} : { agent: sandbox.agent }),
  };
}

export function sandboxMetrics(usage: GetSandboxUsageResponse): SandboxMetrics {
  return {
    timestamp: usage.at ?? new Date(0),
    cpuCount: usage.vcpus,
    cpuUsedPct: usage.cpuPercent,
    memUsed: Number(usage.memoryUsedBytes),
    memTotal: Number(usage.memoryTotalBytes),
    memCache: Number(usage.memoryCacheBytes),
    diskUsed: Number(usage.diskUsedBytes),
    diskTotal: Number(usage.diskTotalBytes),
  };
}
