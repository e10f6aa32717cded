import { expect } from "chai";
import { Cluster } from "../../../operator/src/runtime/cluster.js";
import { createLog } from "../../../operator/src/runtime/log.js";
import { openPlainApi } from "../../support/operator/plain-api.js";
import { eventually } from "../../support/wait.js";

describe("what the operator knows of a cluster", () => {
  const groupsOf = (version: string): readonly object[] =>
    ["agents.x-k8s.io", "extensions.agents.x-k8s.io"].map((name) => ({
      name,
      versions: [{ groupVersion: `${name}/${version}`, version }],
    }));

  for (const [version, has] of [
    ["v1alpha1", false],
    ["v1beta1", true],
  ] as const) {
    it(`is complete with agent-sandbox's ${version}, which ${has ? "it speaks" : "it does not speak"}`, async () => {
      const end = new AbortController();
      const api = await openPlainApi(({ url = "" }, response) => {
        if (url === "/apis") response.end(JSON.stringify({ groups: groupsOf(version) }));
        else if (url.includes("agents.x-k8s.io") && !url.includes(`/${version}/`)) {
          response.writeHead(404).end("404 page not found");
        } else if (!url.includes("watch=true")) {
          response.end(JSON.stringify({ metadata: { resourceVersion: "1" }, items: [] }));
        }
      });
      const cluster = new Cluster({
        ...{ client: api.client, log: createLog(() => undefined), watchIdleMs: 60_000, discoveryMs: 60_000 },
        ...{ onBox: () => undefined, onRestart: () => undefined },
      });
      const running = cluster.run(end.signal);
      try {
        await eventually("it is complete", 1500, () => (cluster.synced ? true : undefined));
        expect(cluster.hasSandboxes).to.equal(has);
      } finally {
        end.abort();
        api.close();
        await running;
      }
    });
  }
});
