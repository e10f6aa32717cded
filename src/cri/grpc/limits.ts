/** Most calls only read or change small things; kubelet's own limit for them is 120 s (its runtimeRequestTimeout). */
const usualLimitMs = 110_000;

/**
 * RPCs with other limits. null: none, because the work has its own: a pull ends when it stalls, a creation has its own
 * deadline, and streams wait for their reader.
 */
const limitsMs: Readonly<Record<string, null>> = {
  RunPodSandbox: null,
  PullImage: null,
  GetContainerEvents: null,
  CheckpointContainer: null,
  CheckpointPod: null,
  RestorePod: null,
};

/** How long an RPC may take, whatever its caller allows; null: as long as it takes. */
export function limitMsOf(rpc: string, request: unknown): number | null {
  if (rpc in limitsMs) return null;
  if (!waitsAsAsked.has(rpc)) return usualLimitMs;
  const asked = timeoutMsOf(request);
  if (asked === 0 && rpc === "ExecSync") return null; // for as long as the command runs
  return asked > longestTimerMs - usualLimitMs ? null : asked + usualLimitMs;
}

/** Their requests say how long they may wait for a process; all else about them takes no longer than with any. */
const waitsAsAsked: ReadonlySet<string> = new Set(["StopContainer", "ExecSync"]);

/** What setTimeout can wait. */
const longestTimerMs = 2 ** 31 - 1;

/** Member `timeout`, whole seconds. */
function timeoutMsOf(request: unknown): number {
  const has = typeof request === "object" && request !== null && "timeout" in request;
  return has && typeof request.timeout === "bigint" && request.timeout > 0n ? Number(request.timeout) * 1000 : 0;
}
