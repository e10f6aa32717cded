import {
  PodSandboxState,
  type PodSandbox,
  type PodSandboxFilter,
  type PodSandboxNetworkStatus,
  type PodSandboxStatus,
} from "../../gen/runtime/v1/api.js";
import { attachmentAddresses } from "../../net/attachment.js";
import type { Sandbox } from "./sandbox.js";

function podSandboxState(sandbox: Sandbox): PodSandboxState {
  return sandbox.state === "ready" ? PodSandboxState.SANDBOX_READY : PodSandboxState.SANDBOX_NOTREADY;
}

/** CRI PodSandbox, an item of lists. */
export function podSandboxItem(sandbox: Sandbox): PodSandbox {
  const { config, record } = sandbox;
  return {
    id: sandbox.id,
    metadata: config.metadata,
    state: podSandboxState(sandbox),
    createdAt: record.createdAtNs,
    labels: config.labels,
    annotations: config.annotations,
    runtimeHandler: record.runtimeHandler,
  };
}

/**
 * CRI PodSandboxStatus. `network` stays unset for a sandbox without one: an empty address in it would make kubelet
 * recreate the sandbox for ever, an unset network only leaves the pod without address (kubelet.md 2.5).
 */
export function podSandboxStatusOf(sandbox: Sandbox): PodSandboxStatus {
  return {
    ...podSandboxItem(sandbox),
    network: networkStatus(sandbox),
    linux: { namespaces: { options: sandbox.config.linux?.securityContext?.namespaceOptions } },
  };
}

function networkStatus(sandbox: Sandbox): PodSandboxNetworkStatus | undefined {
  const [ip, ...others] = attachmentAddresses(sandbox.record.network);
  return ip === undefined ? undefined : { ip, additionalIps: others.map((one) => ({ ip: one })) };
}

/** CRI PodSandboxFilter: what is set must all fit. */
export function fitsFilter(sandbox: Sandbox, filter: PodSandboxFilter | undefined): boolean {
  if (filter === undefined) return true;
  const { labels } = sandbox.config;
  return (
    sandbox.id.startsWith(filter.id) &&
    (filter.state === undefined || filter.state.state === podSandboxState(sandbox)) &&
    Object.entries(filter.labelSelector).every(([name, value]) => Object.hasOwn(labels, name) && labels[name] === value)
  );
}
