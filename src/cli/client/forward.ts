import { once } from "node:events";
import { createConnection, createServer, type Socket } from "node:net";
import { pipeline } from "node:stream";
import { exitStatus, parseFlags, print, usageError } from "../command.js";
import { findEndpoint } from "./endpoint.js";
import { endpointFlag } from "./flags.js";
import { portsOf } from "./forward-ports.js";

/**
 * `forward`: the endpoint as a TCP port of this machine's loopback, for SDKs that know no Unix sockets, until Ctrl-C. Who
 * comes by it calls as whoever has started this.
 */
export async function forward(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags({ args, options: endpointFlag, allowPositionals: true });
  const [said, more] = positionals;
  if (said === undefined || more !== undefined) throw usageError("forward: at which one port of this machine?");
  const [pair] = portsOf([said]);
  const { target, address } = await findEndpoint(values.endpoint, process.env);
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const far =
      target.socketPath === undefined
        ? createConnection({ host: target.host ?? "", port: Number(target.port), allowHalfOpen: true })
        : createConnection({ path: target.socketPath, allowHalfOpen: true });
    for (const one of [socket, far]) {
      sockets.add(one);
      one.once("close", () => sockets.delete(one));
    }
    join(socket, far);
    join(far, socket);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(pair?.local ?? 0, "127.0.0.1", resolve);
  });
  const bound = server.address();
  const port = typeof bound === "object" && bound !== null ? bound.port : 0;
  print(`127.0.0.1:${String(port)} -> ${address}\n`);
  await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
  server.close();
  for (const socket of sockets) socket.destroy();
  return exitStatus.ok;
}

function join(from: Socket, to: Socket): void {
  pipeline(from, to, (thrown) => {
    if (thrown) to.destroy();
  });
}
