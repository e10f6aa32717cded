/** Ports of this machine that lead into a sandbox. */
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { messageOf, RuntimeError } from "../../base/errors.js";
import {
  PortServiceService as service,
  type ForwardPortRequest,
  type ForwardPortResponse,
} from "../../gen/sandboxes/v1/ports.js";
import { usageError } from "../command.js";
import type { Edge } from "./connect.js";

const highestPort = 65_535;
const partBytes = 32 * 1024;

export interface PortPair {
  /** 0: any that is free. */
  readonly local: number;
  readonly remote: number;
}

/** "8080", "8080:80", ":80". */
export function portsOf(said: readonly string[]): PortPair[] {
  return said.map((one) => {
    const [, local, remote] = /^(?:(\d{0,5}):)?(\d{1,5})$/.exec(one) ?? [];
    const port = Number(remote);
    if (remote === undefined || port < 1 || port > highestPort || Number(local ?? 0) > highestPort) {
      throw usageError(`"${one}" is no port: 80, 8080:80, or :80 for any that is free`);
    }
    return { local: local === undefined ? port : Number(local), remote: port };
  });
}

export interface Forwarded extends AsyncDisposable {
  readonly count: number;
  /** In the order of the pairs. */
  readonly locals: readonly number[];
}

/** On the loopback. Each connection is one to the sandbox; closing ends them all. */
export async function forwardPorts(edge: Edge, sandboxId: string, pairs: readonly PortPair[]): Promise<Forwarded> {
  const servers: Server[] = [];
  const sockets = new Set<Socket>();
  const close = (): Promise<void> => {
    for (const server of servers) server.close();
    for (const socket of sockets) socket.destroy();
    return Promise.resolve();
  };
  try {
    for (const { local, remote } of pairs) {
      const server = createServer({ allowHalfOpen: true }, (socket) => {
        sockets.add(socket);
        socket.once("close", () => sockets.delete(socket));
        join(edge, sandboxId, remote, socket);
      });
      servers.push(server);
      await listening(server, local);
    }
  } catch (thrown) {
    await close();
    throw thrown;
  }
  return { count: pairs.length, locals: servers.map(portOf), [Symbol.asyncDispose]: close };
}

async function listening(server: Server, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", (thrown) => {
      reject(new RuntimeError("failedPrecondition", `port ${String(port)} of this machine: ${messageOf(thrown)}`));
    });
    server.listen(port, "127.0.0.1", resolve);
  });
}

function portOf(server: Server): number {
  const address = server.address();
  return isAddress(address) ? address.port : 0;
}

function isAddress(address: AddressInfo | string | null): address is AddressInfo {
  return typeof address === "object" && address !== null;
}

/** Both directions, each at the speed of who reads, each with an end of its own. */
function join(edge: Edge, sandboxId: string, port: number, socket: Socket): void {
  const stream = edge.both<ForwardPortRequest, ForwardPortResponse>(service.forwardPort);
  stream.write({ open: { sandboxId, port } });
  stream.on("data", ({ data, end }: ForwardPortResponse) => {
    if (end !== undefined) socket.end();
    else if (data !== undefined && !socket.write(data)) {
      stream.pause();
      socket.once("drain", () => stream.resume());
    }
  });
  stream.on("error", (thrown) => {
    if (socket.closed) return; // its client has gone, and took the call along
    process.stderr.write(`a3s-box: port ${String(port)}: ${messageOf(thrown)}\n`);
    socket.destroy();
  });
  stream.on("end", () => socket.end());
  socket.on("data", (chunk: Buffer) => {
    let hasRoom = true;
    for (let at = 0; at < chunk.length; at += partBytes) {
      hasRoom = stream.write({ data: chunk.subarray(at, at + partBytes) });
    }
    if (hasRoom) return;
    socket.pause();
    stream.once("drain", () => socket.resume());
  });
  socket.on("end", () => {
    stream.end();
  });
  socket.on("error", () => {
    stream.cancel();
  });
  socket.on("close", () => {
    stream.cancel();
  });
}
