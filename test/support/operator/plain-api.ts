/** A server in the place of the API server, whose answers the test writes, and the operator's client of it. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import { KubeConfig } from "@kubernetes/client-node";
import { KubeClient } from "../../../operator/src/kube/client.js";

export interface PlainApi {
  readonly client: KubeClient;
  close(): void;
}

/** `answer` is given the request's body; what it throws is a 500. */
export async function openPlainApi(
  answer: (request: IncomingMessage, response: ServerResponse, body: string) => void,
): Promise<PlainApi> {
  const server = createServer((request, response) => {
    text(request)
      .then((body) => {
        answer(request, response, body);
      })
      .catch((thrown: unknown) => response.writeHead(500).end(String(thrown)));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const config = new KubeConfig();
  const cluster = { name: "test", server: `http://127.0.0.1:${String(port)}`, skipTLSVerify: true };
  config.loadFromClusterAndUser(cluster, { name: "test" });
  const end = new AbortController();
  return {
    client: new KubeClient(config, "test", end.signal),
    close: () => {
      end.abort();
      server.closeAllConnections();
      server.close();
    },
  };
}
