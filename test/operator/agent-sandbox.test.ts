/** A3sBoxes by agent-sandbox, and its own objects on our RuntimeClass: CRDs of its shape, its controller played by the test. */
import { expect } from "chai";
import { listAt, numberAt, objectAt, textAt, type JsonObject } from "../../operator/src/kube/json.js";
import { kinds } from "../../operator/src/kube/kinds.js";
import { a3sBox, objectsOf, operatorBed, type Bed } from "../support/operator/bed.js";
import { OperatorProcess } from "../support/operator/operator-process.js";
import { sandboxCrds } from "../support/operator/sandbox-crds.js";
import { Undo } from "../support/undo.js";
import { eventually } from "../support/wait.js";

describe("agent-sandbox", () => {
  let bed: Bed;
  let operator: OperatorProcess;
  const undo = new Undo();
  let namespace = "";
  before(async function () {
    bed = await operatorBed(this);
    namespace = await bed.namespace();
    operator = await OperatorProcess.start(bed.server);
    undo.add(() => operator.end());
    await operator.leads();
  });
  after(() => undo.run());

  const create = async (name: string, spec: JsonObject = {}): Promise<void> => {
    await bed.create(a3sBox(namespace, name, spec));
  };
  const condition = (type: string, status: string, reason: string, message = ""): JsonObject => ({
    ...{ type, status, reason, message, lastTransitionTime: "2026-01-01T00:00:00Z" },
  });

  it("is said to be missing where it is asked for, and taken as soon as it is there", async () => {
    await create("asked", { engine: "AgentSandbox" });
    const told = await bed.told(namespace, "asked", "Resolved", "AgentSandboxMissing");
    expect(told.message).to.contain(
      "engine AgentSandbox needs agent-sandbox (v1beta1), which is not served: install it",
    );
    await create("pooled", { pool: { replicas: 2 } });
    await bed.told(namespace, "pooled", "Resolved", "AgentSandboxMissing");
    // What Auto has chosen stays.
    await create("before");
    await bed.there(kinds.pod, namespace, "before");
    for (const crd of sandboxCrds) await bed.create(crd);
    await bed.there(kinds.sandbox, namespace, "asked");
    await bed.there(kinds.claim, namespace, "pooled");
    await bed.told(namespace, "asked", "Resolved", "Resolved");
    await bed.patch(kinds.box, namespace, "before", { metadata: { labels: { a: "b" } } });
    await create("after");
    await bed.there(kinds.sandbox, namespace, "after");
    expect(await bed.find(kinds.sandbox, namespace, "before")).to.equal(undefined);
  });

  it("has a Sandbox of each A3sBox, whose conditions are its own", async () => {
    await create("one", { shutdownTime: "2035-01-01T00:00:00Z", llmConfig: { providers: ["openai", "other"] } });
    const sandbox = await bed.there(kinds.sandbox, namespace, "one");
    expect(textAt(sandbox, "spec", "podTemplate", "spec", "runtimeClassName")).to.equal("microvm");
    const annotations = objectAt(sandbox, "spec", "podTemplate", "metadata", "annotations");
    expect(annotations).to.include({ "a3s.dev/llm": "openai,other" });
    expect(objectAt(sandbox, "spec")).to.include({ operatingMode: "Running", shutdownTime: "2035-01-01T00:00:00Z" });
    const report = async (...conditions: readonly JsonObject[]): Promise<void> => {
      await bed.patch(kinds.sandbox, namespace, "one", { status: { conditions } }, "/status");
    };
    await report(condition("Ready", "False", "DependenciesNotReady", "the pod is not ready"));
    await bed.told(namespace, "one", "Ready", "DependenciesNotReady");
    await report(condition("Ready", "True", "DependenciesReady"), condition("PodScheduled", "True", "Scheduled"));
    await bed.told(namespace, "one", "Ready", "DependenciesReady");
    await bed.told(namespace, "one", "Progressing", "Settled");
    await bed.told(namespace, "one", "PodScheduled", "Scheduled");
    await bed.patch(kinds.box, namespace, "one", { spec: { operatingMode: "Suspended", shutdownTime: null } });
    await eventually("the Sandbox is to be suspended", 20_000, async () => {
      const spec = objectAt(await bed.there(kinds.sandbox, namespace, "one"), "spec");
      return spec?.["operatingMode"] === "Suspended" && spec["shutdownTime"] === undefined ? true : undefined;
    });
    await report(condition("Suspended", "False", "SandboxSuspending"));
    await bed.told(namespace, "one", "Suspended", "SandboxSuspending");
    await report(condition("Suspended", "True", "SandboxSuspended"));
    await bed.told(namespace, "one", "Suspended", "Suspended");
    await bed.patch(kinds.box, namespace, "one", { spec: { operatingMode: "Running" } });
    await report(condition("Finished", "True", "PodFailed", "exit 1"));
    await bed.told(namespace, "one", "Finished", "PodFailed");
    await bed.remove(kinds.box, namespace, "one");
    await bed.gone(kinds.box, namespace, "one");
  });

  it("keeps a pool, of which the A3sBox claims one, and suspends that one", async () => {
    await create("many", { pool: { replicas: 3 }, codingAgent: { kind: "opencode" } });
    const template = await bed.there(kinds.sandboxTemplate, namespace, "many");
    expect(textAt(template, "spec", "networkPolicyManagement")).to.equal("Unmanaged");
    const pool = await bed.there(kinds.warmPool, namespace, "many");
    expect(numberAt(pool, "spec", "replicas")).to.equal(3);
    expect(textAt(pool, "spec", "sandboxTemplateRef", "name")).to.equal("many");
    const claim = await bed.there(kinds.claim, namespace, "many");
    expect(textAt(claim, "spec", "warmPoolRef", "name")).to.equal("many");
    // What its controller does: one of the pool changes owner, and the claim names it.
    const uid = textAt(claim, "metadata", "uid") ?? "";
    const ownerReferences = [{ ...ownerOf("SandboxClaim", "many", uid), apiVersion: kinds.claim.apiVersion }];
    const spec = objectAt(template, "spec") ?? {};
    await bed.create({
      ...{
        apiVersion: kinds.sandbox.apiVersion,
        kind: "Sandbox",
        metadata: { namespace, name: "many-x7", ownerReferences },
      },
      spec: { podTemplate: spec["podTemplate"], operatingMode: "Running" },
    });
    const ready = [condition("Ready", "True", "DependenciesReady")];
    await bed.patch(
      kinds.claim,
      namespace,
      "many",
      { status: { conditions: ready, sandbox: { name: "many-x7" } } },
      "/status",
    );
    await bed.told(namespace, "many", "Ready", "DependenciesReady");
    await bed.patch(kinds.box, namespace, "many", { spec: { operatingMode: "Suspended" } });
    await eventually("the claimed Sandbox is to be suspended", 20_000, async () => {
      const found = await bed.there(kinds.sandbox, namespace, "many-x7");
      return textAt(found, "spec", "operatingMode") === "Suspended" ? true : undefined;
    });
    const suspended = [condition("Suspended", "True", "SandboxSuspended")];
    await bed.patch(kinds.sandbox, namespace, "many-x7", { status: { conditions: suspended } }, "/status");
    await bed.told(namespace, "many", "Suspended", "Suspended");
    // The garbage collector, which is not here, takes them when it goes.
    const owner = textAt(await bed.there(kinds.box, namespace, "many"), "metadata", "uid");
    for (const kind of [kinds.claim, kinds.warmPool, kinds.sandboxTemplate]) {
      const [reference] = listAt(await bed.there(kind, namespace, "many"), "metadata", "ownerReferences");
      expect(textAt(reference, "uid")).to.equal(owner);
    }
    await bed.remove(kinds.box, namespace, "many");
    await bed.gone(kinds.box, namespace, "many");
  });

  it("is left for a pod when the A3sBox says so", async () => {
    await create("moved", { engine: "AgentSandbox" });
    await bed.there(kinds.sandbox, namespace, "moved");
    await bed.patch(kinds.box, namespace, "moved", { spec: { engine: "Pod" } });
    await bed.gone(kinds.sandbox, namespace, "moved");
    await bed.there(kinds.pod, namespace, "moved");
  });

  it("takes the examples of deploy/agent-sandbox, member for member", async () => {
    const files = ["runtimeclass", "template", "pool", "claim"].map((name) => `deploy/agent-sandbox/${name}.yaml`);
    const all = (await Promise.all(files.map(objectsOf))).flat();
    for (const object of all) {
      const metadata = { ...objectAt(object, "metadata"), ...(object["kind"] === "RuntimeClass" ? {} : { namespace }) };
      await bed.create({ ...object, metadata });
    }
    // The pod that its controller makes of the template is one that the API server takes, with the overhead of our RuntimeClass.
    const template = objectAt(await bed.there(kinds.sandboxTemplate, namespace, "python"), "spec", "podTemplate") ?? {};
    const metadata = { ...objectAt(template, "metadata"), namespace, name: "python-1" };
    await bed.create({ ...template, apiVersion: "v1", kind: "Pod", metadata });
    const pod = await bed.there(kinds.pod, namespace, "python-1");
    expect(textAt(pod, "spec", "overhead", "memory")).to.equal("368Mi");
    expect(listAt(pod, "spec", "containers")).to.have.length(1);
  });
});

function ownerOf(kind: string, name: string, uid: string): JsonObject {
  return { kind, name, uid, controller: true };
}
