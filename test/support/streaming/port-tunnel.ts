/** A TCP port of this machine that leads to a pod's by CRI's PortForward, as `kubectl port-forward` makes one. */
import { createServer, type Socket } from "node:net";
import { runtime, type CriClient } from "../cri-client.js";
import { spdyConnect } from "./spdy-client.js";

export interface PortTunnel extends Disposable {
  readonly port: number;
}

export async function openTunnel(cri: CriClient, podSandboxId: string, port: number): Promise<PortTunnel> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined).once("close", () => sockets.delete(socket));
    carry(cri, podSandboxId, port, socket).catch(() => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const bound = server.address();
  if (bound === null || typeof bound === "string") throw new Error("no port");
  return {
    port: bound.port,
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

async function carry(cri: CriClient, podSandboxId: string, port: number, socket: Socket): Promise<void> {
  const { url } = await cri.call(runtime.portForward, { podSandboxId, port: [] });
  const client = await spdyConnect(url, ["portforward.k8s.io"]);
  socket.once("close", () => {
    client.destroy();
  });
  const headers = { port: String(port), requestid: "0" };
  await (await client.open({ ...headers, streamtype: "error" })).end();
  const data = await client.open({ ...headers, streamtype: "data" });
  const sending = (async () => {
    for await (const chunk of socket.iterator({ destroyOnReturn: false })) await data.write(Buffer.from(chunk));
    await data.end();
  })();
  sending.catch(() => socket.destroy());
  for (let seen = 0; ;) {
    await client.until(() => data.parts.length > seen || data.ended);
    for (; seen < data.parts.length; seen += 1) socket.write(data.parts[seen] ?? "");
    if (data.ended) break;
  }
  socket.end();
}
