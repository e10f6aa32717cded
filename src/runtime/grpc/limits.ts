/** Most calls only read or change small things; kubelet's own limit for them is 120 s (kubelet.md 1.2). */
const usualLimitMs = 110_000;

/**
 * RPCs with other limits. null: none, because the work has its own: a pull ends when it stalls, a creation has its own
 * deadline, stop waits for the container's grace period, exec for its request's timeout, and streams for their reader.
 */
const limitsMs: Readonly<Record<string, number | null>> = {
  RunPodSandbox: null,
  PullImage: null,
  StopContainer: null,
  ExecSync: null,
  GetContainerEvents: null,
  CheckpointContainer: null,
  CheckpointPod: null,
  RestorePod: null,
};

/** How long an RPC may take, whatever its caller allows; null: as long as it takes. */
export function limitMsOf(rpc: string): number | null {
  return limitsMs[rpc] ?? (rpc in limitsMs ? null : usualLimitMs);
}
