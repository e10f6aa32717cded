import { Client } from "@grpc/grpc-js";
import type { AgentClient } from "./agent-client.js";
import { AgentCredentials, type AgentAddress } from "./agent-credentials.js";
import { longestAnswer } from "./answer-bounds.js";
import { CallScope } from "./call-scope.js";
import { CheckedMethods } from "./checked-methods.js";
import { GrpcAgentClient } from "./grpc-agent-client.js";

/** The contract's largest request: a session's spec is at most 8 MiB. */
const longestRequest = 16 * 1024 * 1024;
const flowControlWindowBytes = 1024 * 1024;

const channelOptions = {
  // Of all methods; each has a bound of its own.
  "grpc.max_receive_message_length": longestAnswer,
  "grpc.max_send_message_length": longestRequest,
  // One connection at a time goes into a Box: never share it, and count for ourselves.
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_channelz": 0,
  "grpc.enable_retries": 0,
  "grpc.enable_http_proxy": 0,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1000,
  // Notices a dead agent behind an open port, while calls wait; patient with an emulated guest on a busy machine.
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 20_000,
  "grpc-node.flow_control_window": flowControlWindowBytes,
} as const;

/**
 * Opens the channel to an agent. One that boots is dialled at once, one that runs with the first call: a daemon that
 * comes back does not call all of a node's guests in the same moment. The channel finds the agent again by itself for as
 * long as it is not closed.
 */
export function connectAgent(address: AgentAddress, boxId: string): AgentClient {
  const scope = new CallScope();
  const credentials = new AgentCredentials(address, scope);
  const client = new Client(`unix:${address.socketPath}`, credentials, channelOptions);
  if (address.booting !== null) client.getChannel().getConnectivityState(true);
  scope.broken.addEventListener("abort", () => {
    credentials.hangUp();
    client.close();
  });
  return new GrpcAgentClient(new CheckedMethods(client, scope), scope, boxId, () => {
    credentials.hangUp();
  });
}
