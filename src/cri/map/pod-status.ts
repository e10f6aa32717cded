import {
  PodSandboxState,
  type PodSandbox,
  type PodSandboxFilter,
  type PodSandboxNetworkStatus,
  type PodSandboxStatus,
} from "../../gen/runtime/v1/api.js";
import { attachmentAddresses } from "../../net/attachment.js";
import type { PodFacts } from "../../runtime/pod/pod.js";
import { namespaceOptionOf } from "./namespaces.js";

function podSandboxState(sandbox: PodFacts): PodSandboxState {
  return sandbox.state === "ready" ? PodSandboxState.SANDBOX_READY : PodSandboxState.SANDBOX_NOTREADY;
}

/** CRI PodSandbox, an item of lists. */
export function podSandboxItem(sandbox: PodFacts): PodSandbox {
  const { spec, record } = sandbox;
  const { name, namespace, uid, attempt } = spec;
  return {
    id: sandbox.id,
    metadata: { name, namespace, uid, attempt },
    state: podSandboxState(sandbox),
    createdAt: record.createdAtNs,
    labels: { ...spec.labels },
    annotations: { ...spec.annotations },
    runtimeHandler: spec.handler,
  };
}

/**
 * CRI PodSandboxStatus. `network` stays unset for a sandbox without one: an empty address in it would make kubelet
 * recreate the sandbox for ever, an unset network only leaves the pod without address (pkg/kubelet/kuberuntime/util).
 */
export function podSandboxStatusOf(sandbox: PodFacts): PodSandboxStatus {
  const { namespaces } = sandbox.spec;
  return {
    ...podSandboxItem(sandbox),
    network: networkStatus(sandbox),
    linux: { namespaces: { options: namespaces && namespaceOptionOf(namespaces) } },
  };
}

function networkStatus(sandbox: PodFacts): PodSandboxNetworkStatus | undefined {
  const [ip, ...others] = attachmentAddresses(sandbox.record.network);
  return ip === undefined ? undefined : { ip, additionalIps: others.map((one) => ({ ip: one })) };
}

/** CRI PodSandboxFilter: what is set must all fit. */
export function fitsFilter(sandbox: PodFacts, filter: PodSandboxFilter | undefined): boolean {
  if (filter === undefined) return true;
  const { labels } = sandbox.spec;
  return (
    sandbox.id.startsWith(filter.id) &&
    (filter.state === undefined || filter.state.state === podSandboxState(sandbox)) &&
    Object.entries(filter.labelSelector).every(([name, value]) => Object.hasOwn(labels, name) && labels[name] === value)
  );
}
