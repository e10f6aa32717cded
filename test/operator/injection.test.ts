/** The sidecar that the API server itself puts beside pods that ask for it. */
import { expect } from "chai";
import { readSpec } from "../../operator/src/box/spec.js";
import { sidecarAnnotations, sidecarContainer } from "../../operator/src/box/render-sidecar.js";
import { covers, listAt, objectAt, textAt, type Json, type JsonObject } from "../../operator/src/kube/json.js";
import { kinds } from "../../operator/src/kube/kinds.js";
import { objectsOf, operatorBed, type Bed } from "../support/operator/bed.js";
import { eventually } from "../support/wait.js";

describe("injection of the sidecar", () => {
  let bed: Bed;
  let namespace = "";
  before(async function () {
    bed = await operatorBed(this);
    namespace = await bed.namespace();
    for (const object of await objectsOf("deploy/operator/injection.yaml")) await bed.create(object);
  });

  const podOf = (name: string, metadata: JsonObject, spec: JsonObject = {}): JsonObject => ({
    ...{ apiVersion: "v1", kind: "Pod", metadata: { namespace, name, ...metadata } },
    spec: { containers: [{ name: "app", image: "app", env: [{ name: "A", value: "b" }] }], ...spec },
  });
  const labels = { "a3s.dev/inject": "sidecar" };
  const sidecarOf = (pod: JsonObject): Json | undefined =>
    listAt(pod, "spec", "initContainers").find((one) => textAt(one, "name") === "a3s-box");

  it("is that of an A3sBox, with the pod's own containers as they were", async () => {
    // A policy acts some time after it was made.
    const pod = await eventually("a pod has the sidecar", 30_000, async () => {
      await bed.create(podOf("asks", { labels, annotations: { "a3s.dev/llm-secret": "keys" } }));
      const found = await bed.there(kinds.pod, namespace, "asks");
      if (sidecarOf(found) !== undefined) return found;
      await bed.remove(kinds.pod, namespace, "asks", { gracePeriodSeconds: 0 });
      return undefined;
    });
    const spec = readSpec({ spec: { mode: "sidecar", image: "app", llmConfig: { secretRef: { name: "keys" } } } });
    const { volumeMounts, ...rest } = sidecarContainer(spec, "a3s-box:0.2.0");
    expect(covers(sidecarOf(pod), rest)).to.equal(true);
    const mounts = JSON.stringify(volumeMounts).replace('"workspace"', '"a3s-box-workspace"');
    const own: unknown = JSON.parse(mounts);
    expect(listAt(sidecarOf(pod), "volumeMounts").slice(0, 6)).to.deep.equal(own);
    expect(objectAt(pod, "metadata", "annotations")).to.include(sidecarAnnotations(spec));
    const [app] = listAt(pod, "spec", "containers");
    expect(objectAt(app)).to.include({ name: "app", image: "app" });
    const names = listAt(app, "env").map((one) => textAt(one, "name"));
    expect(names).to.have.members(["A", "A3S_BOX_ENDPOINT"]);
    const llm = listAt(pod, "spec", "volumes").find((one) => textAt(one, "name") === "a3s-box-llm");
    expect(textAt(llm, "secret", "secretName")).to.equal("keys");
  });

  it("keeps the pod's own init containers behind it, and leaves other pods alone", async () => {
    await bed.create(podOf("more", { labels }, { initContainers: [{ name: "first", image: "first" }] }));
    const inits = listAt(await bed.there(kinds.pod, namespace, "more"), "spec", "initContainers");
    expect(inits.map((one) => textAt(one, "name"))).to.deep.equal(["a3s-box", "first"]);
    await bed.create(podOf("other", {}));
    expect(sidecarOf(await bed.there(kinds.pod, namespace, "other"))).to.equal(undefined);
    await bed.create(podOf("host", { labels }, { hostNetwork: true }));
    expect(sidecarOf(await bed.there(kinds.pod, namespace, "host"))).to.equal(undefined);
  });
});
