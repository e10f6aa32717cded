import { expect } from "chai";
import { liveOf, podsOf } from "../../../operator/src/box/live.js";
import { boxLabel } from "../../../operator/src/box/names.js";
import { readSpec } from "../../../operator/src/box/spec.js";
import type { JsonObject } from "../../../operator/src/kube/json.js";
import { kinds, type Kind } from "../../../operator/src/kube/kinds.js";
import type { Cluster } from "../../../operator/src/runtime/cluster.js";

describe("what there is of an A3sBox", () => {
  const box: JsonObject = { metadata: { namespace: "n", name: "b", uid: "u" }, spec: { mode: "cri", image: "i" } };
  const podOf = (name: string, owner: JsonObject | undefined): JsonObject => ({
    metadata: {
      ...{ namespace: "n", name, uid: name, labels: { [boxLabel]: "b" } },
      ...(owner === undefined ? {} : { ownerReferences: [owner] }),
    },
    spec: { nodeName: "one" },
  });
  /** All that it asks for. */
  const clusterOf = (pods: readonly JsonObject[]): Pick<Cluster, "get" | "of"> => ({
    of: (kind: Kind) => (kind === kinds.pod ? pods : []),
    get: () => undefined,
  });

  it("is no pod that somebody else has given its label, and its name", () => {
    const cluster = clusterOf([podOf("b", undefined), podOf("more", { kind: "ReplicaSet", name: "web", uid: "r" })]);
    expect(podsOf(cluster, box)).to.deep.equal([]);
    expect(liveOf(cluster, box, readSpec(box), "Pod")).to.include({ pod: undefined, isOnNode: false });
  });

  it("is its own pod, or one of agent-sandbox's for it", () => {
    const own = podOf("b", { kind: "A3sBox", name: "b", uid: "u" });
    expect(liveOf(clusterOf([own]), box, readSpec(box), "Pod")).to.include({ pod: own, isOnNode: true });
    const theirs = podOf("b-1", { kind: "Sandbox", name: "b", uid: "s" });
    expect(liveOf(clusterOf([theirs]), box, readSpec(box), "AgentSandbox")).to.include({ pod: theirs, isOnNode: true });
  });
});
