import type { Container } from "../../runtime/container/container.js";
import type { Pod } from "../../runtime/pod/pod.js";
import type { Core } from "./core.js";
import type { AgentSandboxRecord } from "./record.js";
import type { SandboxView } from "./sandbox.js";
import { mountsOf, userOf } from "./specs.js";

/** A sandbox that runs: its record, and the facts that are the engine's. */
export interface LiveSandbox {
  readonly record: AgentSandboxRecord;
  readonly readyAtMs: number;
  readonly pod: Pod;
  readonly container: Container;
}

/** Undefined for one that is being made, and for one that has ended, whether or not that is recorded yet. */
export function liveSandbox(
  record: AgentSandboxRecord,
  { engine: { sandboxes, containers } }: Pick<Core, "engine">,
): LiveSandbox | undefined {
  const { ready, end } = record;
  if (ready === undefined || end !== undefined) return undefined;
  const pod = sandboxes.find(ready.podId);
  const container = containers.find(ready.containerId);
  if (pod?.state !== "ready" || container?.state !== "running") return undefined;
  return { record, readyAtMs: ready.atMs, pod, container };
}

function egressOf({ record: { egress, network } }: Pod): Pick<SandboxView, "egress"> {
  if (egress === undefined || network === undefined) return {};
  return { egress: { allowOut: [...egress.allow, ...egress.names], denyOut: egress.deny, rest: egress.rest } };
}

export function viewOf({ record, readyAtMs, pod, container }: LiveSandbox): SandboxView {
  const { spec } = container;
  return {
    ...{ id: record.id, tenant: record.tenant, template: record.template, image: spec.image.name },
    command: record.command,
    ...{ state: pod.isPaused ? "paused" : "running", startedAtMs: readyAtMs, endsAtMs: record.endsAtMs },
    vcpus: pod.record.size?.vcpus ?? record.vcpus,
    memoryMib: pod.record.size?.memoryMib ?? record.memoryMib,
    diskMib: record.diskMib,
    env: Object.fromEntries(spec.env.map(({ name, value }) => [name, value])),
    user: userOf(spec),
    workingDir: spec.workingDir,
    mounts: mountsOf(spec, pod.id),
    metadata: record.metadata,
    network: pod.record.network === undefined ? "none" : "pod",
    ...egressOf(pod),
    ...(record.agent === undefined ? {} : { agent: record.agent }),
    atEnd: record.atEnd,
    endsWithOwner: record.owner !== undefined,
    accessToken: record.accessToken,
    podId: pod.id,
    containerId: container.id,
  };
}
