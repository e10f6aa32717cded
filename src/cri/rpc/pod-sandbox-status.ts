import { nowNs } from "../../base/clock.js";
import type { PodSandboxStatusRequest, PodSandboxStatusResponse } from "../../gen/runtime/v1/api.js";
import type { CallContext, Deps } from "../deps.js";
import { podPid } from "../../runtime/pod/pid.js";
import type { Pod } from "../../runtime/pod/pod.js";
import { podSandboxStatusOf } from "../map/pod-status.js";

/** CRI PodSandboxStatus. `notFound` for an unknown id: kubelet tests for that code alone (pkg/kubelet/kuberuntime). */
export async function podSandboxStatus(
  request: PodSandboxStatusRequest,
  _call: CallContext,
  deps: Deps,
): Promise<PodSandboxStatusResponse> {
  const sandbox = deps.sandboxes.require(request.podSandboxId);
  return {
    status: podSandboxStatusOf(sandbox),
    info: request.verbose ? { info: await verboseInfo(sandbox, deps) } : {},
    containersStatuses: [],
    timestamp: nowNs(),
  };
}

/** For people and benches (docs/adr/0095): its process on the host, how the Box was started and what it costs. */
async function verboseInfo(sandbox: Pod, { skills }: Pick<Deps, "skills">): Promise<string> {
  const { box, record, stages } = sandbox;
  return JSON.stringify({
    pid: box === undefined || box.exit !== undefined ? 0 : (podPid(box.handle) ?? 0),
    pidOf: record.box?.driver === "native" ? "agent" : "vmm",
    runtimeHandler: record.spec.handler,
    driver: record.box?.driver,
    vmmPid: record.box?.processes.find(({ role }) => role === "vmm")?.pid,
    memoryBytes: box === undefined ? 0 : Number(await box.memoryUsage()),
    stages,
    netns: record.netnsPath,
    directory: record.box?.directory,
    end: record.end?.reason,
    skills: skills.list(sandbox.id),
  });
}
