/** kubelet's list of pods, from a server that answers as it does: `test/kubelet/tenants.test.ts` has a real one. */
import { readFile, writeFile } from "node:fs/promises";
import { createServer as createPlain, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer } from "node:https";
import { join } from "node:path";
import { expect } from "chai";
import { codeOf, messageOf } from "../../../../src/base/errors.js";
import { KubeletPods } from "../../../../src/sandboxes/listen/who/kubelet-pods.js";
import { makeAuthority, type TestAuthority } from "../../../support/certificates.js";

const uid = "8c2cbd2e-8a1c-4d50-9a0a-5f2d0c2b2a11";
const list = { items: [{ metadata: { name: "app-0", namespace: "team-a", uid, labels: {} }, spec: {} }] };

describe("kubelet, asked whose a pod is", () => {
  let authority: TestAuthority;
  let server: Server;
  let url = "";
  let asked = 0;
  let answer: (request: IncomingMessage, response: ServerResponse) => void;
  const says = (body: unknown) => (_: IncomingMessage, response: ServerResponse) => response.end(JSON.stringify(body));

  before(async () => {
    authority = await makeAuthority();
    const { certFile, keyFile } = await authority.issue("node1", "DNS:node1");
    const files = { cert: await readFile(certFile), key: await readFile(keyFile) };
    server = createServer(files, (request, response) => {
      asked += 1;
      answer(request, response);
    });
    url = `https://127.0.0.1:${String(await listen(server))}`;
  });
  beforeEach(() => {
    asked = 0;
  });
  after(async () => {
    server.close();
    await authority.remove();
  });

  const pods = (more: { readonly caFile?: string; readonly tokenFile?: string } = {}): KubeletPods =>
    new KubeletPods({ url, caFile: authority.certFile, tokenFile: undefined, ...more });

  it("says name and namespace, and is not asked again of a pod that it knows", async () => {
    answer = says(list);
    const known = pods();
    const owner = { name: "app-0", namespace: "team-a", uid };
    expect(await known.byUid(uid)).to.deep.equal(owner);
    expect(await known.byUid(uid)).to.deep.equal(owner);
    expect(asked).to.equal(1);
  });

  it("is asked once for many callers at a time, of pods that nobody knows too", async () => {
    answer = says({ items: null });
    const known = pods();
    const found = await Promise.all(Array.from({ length: 100 }, (_, at) => known.byUid(`pod-${String(at)}`)));
    expect(found.every((owner) => owner === undefined)).to.equal(true);
    expect(asked).to.equal(1);
  });

  it("is shown the token as it is in its file now, at /pods", async () => {
    const tokenFile = join(authority.certFile, "..", "token");
    await writeFile(tokenFile, "first-token\n");
    const seen: string[] = [];
    answer = ({ headers, url: path }, response) => {
      seen.push(`${path ?? ""} ${headers.authorization ?? ""}`);
      response.end(JSON.stringify(list));
    };
    await pods({ tokenFile }).byUid(uid);
    await writeFile(tokenFile, "second-token\n");
    await pods({ tokenFile }).byUid(uid);
    expect(seen).to.deep.equal(["/pods Bearer first-token", "/pods Bearer second-token"]);
  });

  it("is no kubelet with a certificate of somebody else", async () => {
    answer = says(list);
    const another = await makeAuthority();
    try {
      const thrown = await failure(pods({ caFile: another.certFile }).byUid(uid));
      expect(codeOf(thrown)).to.equal("unavailable");
      expect(asked).to.equal(0);
    } finally {
      await another.remove();
    }
  });

  it("is not believed in what it can't have said, and one that refuses is told of", async () => {
    const bad: readonly (readonly [typeof answer, RegExp])[] = [
      [says({ items: [{ metadata: { name: "app-0" } }] }), /namespace/],
      [(_, response) => response.end("{"), /JSON/],
      [(_, response) => response.writeHead(401).end("Unauthorized"), /HTTP 401/],
      [(_, response) => response.destroy(), /hang up|ECONNRESET/],
    ];
    for (const [one, words] of bad) {
      answer = one;
      const thrown = await failure(pods().byUid(uid));
      expect([codeOf(thrown), messageOf(thrown)]).to.satisfy(
        ([code, text]: [string, string]) => code === "unavailable" && words.test(text),
      );
    }
  });

  it("may be asked without TLS at its port for reading", async () => {
    const plain = createPlain(says(list));
    try {
      const reading = {
        url: `http://127.0.0.1:${String(await listen(plain))}`,
        caFile: undefined,
        tokenFile: undefined,
      };
      expect(await new KubeletPods(reading).byUid(uid)).to.include({ namespace: "team-a" });
    } finally {
      plain.close();
    }
  });
});

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

async function failure(call: Promise<unknown>): Promise<unknown> {
  return await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
}
