/** Looks at an A3sBox, before a server with what the API server would have. */
import { expect } from "chai";
import { identityOf } from "../../../operator/src/box/names.js";
import { Reconciler } from "../../../operator/src/box/reconcile.js";
import { renderRunner } from "../../../operator/src/box/render-objects.js";
import { readSpec } from "../../../operator/src/box/spec.js";
import { Writer } from "../../../operator/src/box/writer.js";
import { parseObject, textAt, type JsonObject } from "../../../operator/src/kube/json.js";
import { kinds, pathOf } from "../../../operator/src/kube/kinds.js";
import { Cluster } from "../../../operator/src/runtime/cluster.js";
import { EventRecorder } from "../../../operator/src/runtime/events.js";
import { createLog } from "../../../operator/src/runtime/log.js";
import { openPlainApi } from "../../support/operator/plain-api.js";
import { eventually } from "../../support/wait.js";

const pods = { runtimeClassName: "microvm", runtimeImage: "a3s-box:1" };
const log = createLog(() => undefined);

describe("an A3sBox that agent-sandbox runs, and that lacks a skill's ConfigMap now", () => {
  const boxOf = (more: JsonObject): JsonObject => ({
    metadata: { namespace: "n", name: "b", uid: "u", resourceVersion: "7", generation: 2 },
    spec: { mode: "cri", image: "i:2", skills: [{ name: "review", configMapRef: { name: "c" } }], ...more },
    status: { engine: "AgentSandbox" },
  });

  /** What is applied in one look. */
  async function looked(box: JsonObject): Promise<readonly JsonObject[]> {
    const applied: JsonObject[] = [];
    const running = { engine: "AgentSandbox", keys: new Map([["c", ["SKILL.md"]]]), options: pods } as const;
    const [sandbox = {}] = renderRunner(identityOf(box), readSpec(box), running);
    const lists = new Map<string, JsonObject>([
      [pathOf(kinds.box), box],
      [pathOf(kinds.sandbox), sandbox],
      [pathOf(kinds.runtimeClass), { metadata: { name: "microvm", uid: "r" } }],
    ]);
    const groups = ["agents.x-k8s.io/v1beta1", "extensions.agents.x-k8s.io/v1beta1"].map((groupVersion) => ({
      versions: [{ groupVersion }],
    }));
    const end = new AbortController();
    const api = await openPlainApi(({ method, url = "" }, response, body) => {
      const { pathname: path, searchParams } = new URL(url, "http://x");
      if (searchParams.has("watch")) return;
      if (method === "PATCH") applied.push(parseObject(body));
      if (method !== "GET") response.end(body);
      else if (path === "/apis") response.end(JSON.stringify({ groups }));
      else if (searchParams.has("limit")) {
        response.end(JSON.stringify({ metadata: { resourceVersion: "9" }, items: [lists.get(path)] }));
      } else response.writeHead(404).end(JSON.stringify({ reason: "NotFound", message: "there is none" }));
    });
    const { client } = api;
    const cluster = new Cluster({
      ...{ client, log, watchIdleMs: 60_000, discoveryMs: 60_000 },
      ...{ onBox: () => undefined, onRestart: () => undefined },
    });
    const watching = cluster.run(end.signal);
    try {
      await eventually("the stores are filled", 1500, () => (cluster.synced ? true : undefined));
      const events = new EventRecorder(client, "test", log);
      const writer = new Writer({ client, cluster, events, onWrite: () => undefined });
      await new Reconciler({ client, cluster, writer, events, pods }).reconcile("n/b");
    } finally {
      end.abort();
      api.close();
      await watching;
    }
    return applied;
  }

  const ofSandboxes = (applied: readonly JsonObject[]): readonly JsonObject[] =>
    applied.filter((one) => textAt(one, "kind") === "Sandbox");

  it("has its Sandbox left as it is: its next pod would be without the skill", async () => {
    const applied = await looked(boxOf({}));
    expect(ofSandboxes(applied)).to.deep.equal([]);
    expect(JSON.stringify(applied)).to.contain("ConfigMapMissing");
  });

  it("is suspended all the same", async () => {
    const [sandbox] = ofSandboxes(await looked(boxOf({ operatingMode: "Suspended" })));
    expect(textAt(sandbox, "spec", "operatingMode")).to.equal("Suspended");
  });
});
