import type { RunPodSandboxRequest, RunPodSandboxResponse } from "../../gen/runtime/v1/api.js";
import { runPod } from "../../runtime/pod/run-pod.js";
import type { CallContext, Deps } from "../deps.js";
import { podSpecOf } from "../map/pod-spec.js";

/**
 * CRI RunPodSandbox. Answers when the sandbox is READY; a repeat joins one that is under way, and gets `alreadyExists` with
 * the id after it. Source: api.proto, rpc RunPodSandbox; caller: kubelet KR createPodSandbox, deadline 2 ×
 * runtimeRequestTimeout.
 */
export async function runPodSandbox(
  request: RunPodSandboxRequest,
  call: CallContext,
  deps: Deps,
): Promise<RunPodSandboxResponse> {
  return { podSandboxId: await runPod(podSpecOf(request), deps, call.signal) };
}
