import { RuntimeError } from "../../base/errors.js";
import { shortId } from "../../base/ids.js";
import type { PodSandboxStatsRequest, PodSandboxStatsResponse } from "../../gen/runtime/v1/api.js";
import type { CallContext, Deps } from "../deps.js";
import { sandboxUsageOf } from "../../runtime/stats/pod-stats.js";
import { podSandboxStatsOf } from "../map/pod-stats.js";

/** CRI PodSandboxStats, of a READY sandbox. Source: api.proto, rpc PodSandboxStats; caller: `crictl statsp`. */
export async function podSandboxStats(
  request: PodSandboxStatsRequest,
  call: CallContext,
  deps: Deps,
): Promise<PodSandboxStatsResponse> {
  const sandbox = deps.sandboxes.require(request.podSandboxId);
  if (sandbox.state !== "ready") {
    throw new RuntimeError("failedPrecondition", `sandbox ${shortId(sandbox.id)} is not ready`, {
      hint: "only what runs has figures",
    });
  }
  const [usage] = await sandboxUsageOf([sandbox], deps, call.signal);
  return { stats: usage && podSandboxStatsOf(usage) };
}
