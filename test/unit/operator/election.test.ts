import type { IncomingMessage, ServerResponse } from "node:http";
import { expect } from "chai";
import { parseObject, textAt, type JsonObject } from "../../../operator/src/kube/json.js";
import { Election } from "../../../operator/src/runtime/election.js";
import { createLog } from "../../../operator/src/runtime/log.js";
import { openPlainApi, type PlainApi } from "../../support/operator/plain-api.js";

describe("the operator's election", () => {
  let api: PlainApi;
  let lease: JsonObject | undefined;
  /** It answers late, and no writes at all. */
  let isTired: boolean;
  const signal = new AbortController().signal;

  /** One Lease, replaced as the API server does. */
  function answer({ method }: IncomingMessage, response: ServerResponse, body: string): void {
    if (isTired && method !== "GET") return;
    if (method === "GET" && lease === undefined) {
      response.writeHead(404).end(JSON.stringify({ reason: "NotFound", message: "no lease" }));
      return;
    }
    if (method !== "GET") {
      const version = Number(textAt(lease, "metadata", "resourceVersion") ?? "0") + 1;
      lease = { ...parseObject(body), metadata: { name: "l", namespace: "n", resourceVersion: String(version) } };
    }
    const text = JSON.stringify(lease);
    if (isTired) setTimeout(() => response.end(text), 350);
    else response.end(text);
  }

  beforeEach(async () => {
    lease = undefined;
    isTired = false;
    api = await openPlainApi(answer);
  });
  afterEach(() => {
    api.close();
  });

  const electionOf = (identity: string): Election => {
    const log = createLog(() => undefined);
    return new Election({ client: api.client, namespace: "n", name: "l", identity, leaseSeconds: 2, log });
  };

  it("is given up before another may take it, although the API server only gets slow and silent", async () => {
    const election = electionOf("one");
    expect(await election.acquire(signal)).to.equal(true);
    const heldMs = performance.now();
    isTired = true;
    await election.keep(signal);
    expect(performance.now() - heldMs).to.be.lessThan(2000);
    expect(election.leftMs).to.equal(0);
  });

  it("is another's at once when it was given back", async () => {
    const one = electionOf("one");
    expect(await one.acquire(signal)).to.equal(true);
    await one.release();
    expect(await electionOf("two").acquire(signal)).to.equal(true);
    expect(textAt(lease, "spec", "holderIdentity")).to.equal("two");
  });
});
