import { messageOf, RuntimeError } from "../../../base/errors.js";
import {
  type ForwardPortRequest,
  type ForwardPortResponse,
  PortServiceService,
  type PortServiceServer,
} from "../../../gen/sandboxes/v1/ports.js";
import type { PortConnection } from "../../../vmm/agent/agent-client.js";
import type { GrpcProtocol } from "../../listen/protocol.js";
import type { SandboxdParts } from "../parts.js";
import { piecesOf } from "../pieces.js";
import { type Asked, type Calls, callsOf } from "./calls.js";

const lastPort = 65_535;

/** `sandboxes.v1.PortService`: connections into a sandbox. */
export function portService(parts: SandboxdParts): GrpcProtocol {
  return {
    service: PortServiceService,
    implementation: (who) => service(parts, callsOf(parts, who)),
  };
}

function service(parts: SandboxdParts, { converses }: Calls): PortServiceServer {
  return { forwardPort: converses("ForwardPort", (requests, asked) => forwarded(parts, requests, asked)) };
}

async function* forwarded(
  { sandboxes }: SandboxdParts,
  requests: AsyncIterator<ForwardPortRequest>,
  asked: Asked,
): AsyncGenerator<ForwardPortResponse, void> {
  const first = await requests.next();
  const open = first.done === true ? undefined : first.value.open;
  if (open === undefined) throw new RuntimeError("invalidArgument", "the first message has no open");
  const { sandboxId, port } = open;
  if (port < 1 || port > lastPort) throw new RuntimeError("invalidArgument", `no port has the number ${String(port)}`);
  const connection = await sandboxes.connectPort(asked.caller, asked.sandbox(sandboxId), port, asked.signal);
  try {
    yield { connected: {} };
    const inward = sendAll(requests, connection);
    for await (const bytes of connection) for (const data of piecesOf(bytes)) yield { data };
    yield { end: {} };
    const failure = await inward;
    if (failure !== undefined) throw failure;
  } finally {
    connection.close();
  }
}

/** To the half-close of the client. What goes wrong ends the connection too, and is told when its reader has seen that. */
async function sendAll(
  requests: AsyncIterator<ForwardPortRequest>,
  connection: PortConnection,
): Promise<Error | undefined> {
  try {
    for (;;) {
      const next = await requests.next();
      if (next.done === true) break;
      const { data } = next.value;
      if (data === undefined) throw new RuntimeError("invalidArgument", "a message without data");
      if (data.length > 0) await connection.write(data);
    }
    connection.end();
    return undefined;
  } catch (thrown) {
    connection.close();
    return thrown instanceof Error ? thrown : new Error(messageOf(thrown));
  }
}
