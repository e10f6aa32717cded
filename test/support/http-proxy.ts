/** A forward proxy (RFC 9110, 7.6 and 9.3.6) that leads every name to this machine. */
import { createServer, request as ask } from "node:http";
import { connect } from "node:net";

export interface TestProxy {
  /** "127.0.0.1:PORT". */
  readonly host: string;
  /** What it was asked: "CONNECT registry.example:443 proxy-authorization", "GET http://registry.example/v2/ …". */
  readonly requests: readonly string[];
  stop(): Promise<void>;
}

/** `targetPort`: the port of 127.0.0.1 where everything goes. */
export async function startProxy(targetPort: number): Promise<TestProxy> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const login = request.headers["proxy-authorization"] ?? "-";
    requests.push(`${request.method ?? ""} ${request.url ?? ""} ${login}`);
    const url = new URL(request.url ?? "");
    const path = `${url.pathname}${url.search}`;
    const options = { host: "127.0.0.1", port: targetPort, path, method: request.method, headers: request.headers };
    const onward = ask(options, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    request.pipe(onward);
  });
  server.on("connect", (request, socket) => {
    requests.push(`CONNECT ${request.url ?? ""} ${request.headers["proxy-authorization"] ?? "-"}`);
    const onward = connect(targetPort, "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      socket.pipe(onward).pipe(socket);
    });
    onward.on("error", () => socket.destroy());
    socket.on("error", () => onward.destroy());
    onCloseOf.add(() => socket.destroy());
  });
  const onCloseOf = new Set<() => void>();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    host: `127.0.0.1:${port}`,
    requests,
    stop: async () => {
      for (const end of onCloseOf) end();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
