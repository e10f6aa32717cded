/** Stands for an API server of old: it passes SPDY on to the URL's server and knows no WebSocket. */
import { createServer } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";

export interface RefusingProxy {
  /** The same path at the proxy. */
  readonly url: string;
  readonly refused: number;
  close(): void;
}

export async function refusingProxy(to: string): Promise<RefusingProxy> {
  const { hostname, port, pathname } = new URL(to);
  const sockets = new Set<Socket>();
  let refused = 0;
  const server = createServer();
  server.on("connection", (socket: Socket) => sockets.add(socket));
  server.on("upgrade", (request, client: Socket, head) => {
    if (request.headers.upgrade?.toLowerCase() === "websocket") {
      refused += 1;
      client.end("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
      return;
    }
    const upstream = connect(Number(port), hostname);
    sockets.add(upstream);
    for (const socket of [client, upstream])
      socket.on("error", () => upstream.destroy(client.destroy().errored ?? undefined));
    const headers = request.rawHeaders.flatMap((name, index, all) =>
      index % 2 === 0 ? [`${name}: ${all[index + 1] ?? ""}`] : [],
    );
    upstream.write(`${[`${request.method ?? ""} ${request.url ?? ""} HTTP/1.1`, ...headers].join("\r\n")}\r\n\r\n`);
    upstream.write(head);
    client.pipe(upstream);
    upstream.pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));

  const bound = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${bound.port}${pathname}`,
    get refused() {
      return refused;
    },
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
