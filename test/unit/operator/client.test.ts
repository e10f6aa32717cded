import { createServer, type Server, type ServerResponse } from "node:http";
import { KubeConfig } from "@kubernetes/client-node";
import { expect } from "chai";
import { KubeClient } from "../../../operator/src/kube/client.js";
import { KubeError } from "../../../operator/src/kube/error.js";
import { parseObject, textAt } from "../../../operator/src/kube/json.js";
import { kinds } from "../../../operator/src/kube/kinds.js";

describe("the operator's client", () => {
  let server: Server;
  let client: KubeClient;
  let seen: { readonly line: string; readonly body: string }[];
  let answer: (response: ServerResponse) => void;
  const end = new AbortController();
  const place = { namespace: "n", name: "p" };

  beforeEach(async () => {
    seen = [];
    answer = (response) => response.end("{}");
    server = createServer((request, response) => {
      let body = "";
      request.setEncoding("utf8").on("data", (text: string) => (body += text));
      request.on("end", () => {
        seen.push({ line: `${request.method ?? ""} ${request.url ?? ""}`, body });
        answer(response);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const config = new KubeConfig();
    config.loadFromClusterAndUser(
      { name: "test", server: `http://127.0.0.1:${String(port)}`, skipTLSVerify: true },
      { name: "test" },
    );
    client = new KubeClient(config, "test", end.signal);
  });
  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });

  it("removes only what has the uid that was seen, and goes on by the same connection", async () => {
    await client.remove(kinds.pod, place, "u");
    await client.get(kinds.pod, place);
    const path = "/api/v1/namespaces/n/pods/p";
    expect(seen.map(({ line }) => line)).to.deep.equal([`DELETE ${path}`, `GET ${path}`]);
    expect(textAt(parseObject(seen[0]?.body ?? ""), "preconditions", "uid")).to.equal("u");
  });

  it("takes what is gone, or another's by now, for removed", async () => {
    for (const [status, reason] of [
      [404, "NotFound"],
      [409, "Conflict"],
    ] as const) {
      answer = (response) => response.writeHead(status).end(JSON.stringify({ reason, message: "m" }));
      await client.remove(kinds.pod, place, "u");
    }
    expect(seen).to.have.length(2);
  });

  const failure = async (work: Promise<unknown>): Promise<KubeError> => {
    const thrown: unknown = await work.then(
      () => undefined,
      (why: unknown) => why,
    );
    if (thrown instanceof KubeError) return thrown;
    throw new Error("it was no error of the API's");
  };

  it("says what was asked and why it was refused, in the API's words or those of what stands before it", async () => {
    answer = (response) => response.writeHead(403).end(JSON.stringify({ reason: "Forbidden", message: "not you" }));
    const refused = await failure(client.get(kinds.pod, place));
    expect([refused.status, refused.reason]).to.deep.equal([403, "Forbidden"]);
    expect(refused.message).to.equal("GET /api/v1/namespaces/n/pods/p: not you");
    answer = (response) => response.writeHead(502).end("<html>bad gateway");
    expect(await failure(client.get(kinds.pod, place))).to.include({ status: 502, reason: "Status502" });
  });

  it("gives up what is not answered in time", async () => {
    answer = () => undefined;
    expect(await failure(client.get(kinds.pod, place, { limitMs: 50 }))).to.include({ reason: "Timeout" });
  });
});
