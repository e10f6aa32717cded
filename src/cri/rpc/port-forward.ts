import { RuntimeError } from "../../base/errors.js";
import type { PortForwardRequest, PortForwardResponse } from "../../gen/runtime/v1/api.js";
import type { CallContext, Deps } from "../deps.js";

const highestPort = 65_535;

/**
 * CRI PortForward: the URL at which a client can have connections to ports of the sandbox's loopback. SPDY's clients name
 * the port with each connection; `port` is for those of WebSockets, and may be empty. Source: api.proto, rpc PortForward;
 * k8s.io/kubelet pkg/cri/streaming/portforward.
 */
export async function portForward(
  request: PortForwardRequest,
  call: CallContext,
  deps: Deps,
): Promise<PortForwardResponse> {
  if (request.podSandboxId === "") throw new RuntimeError("invalidArgument", "pod_sandbox_id is empty");
  const wrong = request.port.find((port) => port < 1 || port > highestPort);
  if (wrong !== undefined) throw new RuntimeError("invalidArgument", `${String(wrong)} is not a port`);
  const sandbox = deps.sandboxes.require(request.podSandboxId);
  await sandbox.liveBox(call.signal);
  const url = deps.streaming.offer({
    kind: "portforward",
    ports: request.port,
    connect: async (port, signal) => (await sandbox.liveBox(signal)).agent.connectPort(port, signal),
  });
  return { url };
}
