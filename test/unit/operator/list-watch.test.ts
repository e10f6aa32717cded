/** Faults of a watch that a real API server has only now and then: they come from a server that the test writes answers for. */
import { createServer, type Server, type ServerResponse } from "node:http";
import { KubeConfig } from "@kubernetes/client-node";
import { expect } from "chai";
import { KubeClient } from "../../../operator/src/kube/client.js";
import type { JsonObject } from "../../../operator/src/kube/json.js";
import { kinds } from "../../../operator/src/kube/kinds.js";
import { ListWatch } from "../../../operator/src/kube/list-watch.js";
import { Store } from "../../../operator/src/kube/store.js";
import { createLog } from "../../../operator/src/runtime/log.js";
import { eventually } from "../../support/wait.js";

describe("a watch of the operator's", () => {
  let server: Server;
  let store: Store;
  let restarts: string[];
  /** The version that each watch began at. */
  let watches: string[];
  let lists: number;
  let onWatch: (response: ServerResponse, place: number) => void;
  /** What a list answers; true where it has. */
  let onList: (response: ServerResponse, place: number) => boolean;
  const end = new AbortController();
  let running: Promise<void>;

  const box = (name: string, version: number): JsonObject => ({
    metadata: { namespace: "n", name, uid: name, resourceVersion: String(version) },
  });
  const line = (type: string, object: JsonObject): string => `${JSON.stringify({ type, object })}\n`;

  beforeEach(async () => {
    restarts = [];
    watches = [];
    lists = 0;
    onList = () => false;
    server = createServer((request, response) => {
      const url = new URL(request.url ?? "", "http://x");
      if (url.searchParams.get("watch") === "true") {
        watches.push(url.searchParams.get("resourceVersion") ?? "");
        response.writeHead(200);
        response.flushHeaders();
        onWatch(response, watches.length);
        return;
      }
      lists += 1;
      if (onList(response, lists)) return;
      const items = lists === 1 ? [box("a", 5)] : [box("b", 50)];
      response.end(JSON.stringify({ metadata: { resourceVersion: String(lists * 10) }, items }));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const config = new KubeConfig();
    config.loadFromClusterAndUser(
      { name: "test", server: `http://127.0.0.1:${String(port)}`, skipTLSVerify: true },
      { name: "test" },
    );
    store = new Store({ onChange: () => undefined });
    const client = new KubeClient(config, "test", end.signal);
    const log = createLog(() => undefined);
    const watch = new ListWatch({
      client,
      kind: kinds.box,
      store,
      idleMs: 400,
      log,
      onRestart: (why) => restarts.push(why),
    });
    running = watch.run(end.signal);
  });
  afterEach(async () => {
    server.closeAllConnections();
    server.close();
    await eventually("it has noticed", 5000, () => (restarts.length > 0 ? true : undefined));
  });
  after(async () => {
    end.abort();
    await running;
  });

  it("lists again when its version is too old, and knows what has gone meanwhile", async () => {
    onWatch = (response, place) => {
      if (place === 1) response.end(line("ERROR", { code: 410, reason: "Expired", message: "too old" }));
    };
    await eventually("it has listed again", 5000, () => (lists === 2 && watches.length === 2 ? true : undefined));
    expect([...store.values()].map(({ metadata }) => JSON.stringify(metadata))).to.have.length(1);
    expect(store.get("n/b")).to.not.equal(undefined);
    expect(restarts[0]).to.equal("Expired");
    expect(watches).to.deep.equal(["10", "20"]);
  });

  it("goes on after the last event or bookmark when its connection breaks, without a list", async () => {
    onWatch = (response, place) => {
      if (place > 1) return;
      const text = line("ADDED", box("ü", 11)) + line("BOOKMARK", { metadata: { resourceVersion: "17" } });
      const bytes = Buffer.from(text);
      // In the middle of a character.
      const cut = bytes.indexOf("ü") + 1;
      response.write(bytes.subarray(0, cut), () => {
        setImmediate(() => {
          response.write(bytes.subarray(cut), () => response.destroy());
        });
      });
    };
    await eventually("it watches again", 5000, () => (watches.length === 2 ? true : undefined));
    expect(watches).to.deep.equal(["10", "17"]);
    expect(store.get("n/ü")).to.not.equal(undefined);
    expect(lists).to.equal(1);
  });

  it("lists anew when a list breaks off between two pages", async () => {
    onWatch = () => undefined;
    onList = (response, place) => {
      if (place === 1) {
        const metadata = { resourceVersion: "10", continue: "more" };
        response.end(JSON.stringify({ metadata, items: [box("a", 5)] }));
      } else if (place === 2) response.destroy();
      return place <= 2;
    };
    await eventually("it watches", 5000, () => (watches.length > 0 ? true : undefined));
    expect([lists, watches[0], store.synced]).to.deep.equal([3, "30", true]);
  });

  it("gives up a connection on which nothing comes", async () => {
    onWatch = () => undefined;
    await eventually("it watches again", 5000, () => (watches.length === 2 ? true : undefined));
    expect(restarts).to.include("Idle");
  });
});
