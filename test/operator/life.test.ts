/** An A3sBox from its creation to its deletion, with the engine Pod: the test plays scheduler and kubelet. */
import { expect } from "chai";
import { listAt, objectAt, textAt, textsAt, type JsonObject } from "../../operator/src/kube/json.js";
import { kinds } from "../../operator/src/kube/kinds.js";
import { skillText } from "../support/agents/skill-directory.js";
import { a3sBox, operatorBed, runtimeClass, type Bed } from "../support/operator/bed.js";
import { OperatorProcess } from "../support/operator/operator-process.js";
import { Undo } from "../support/undo.js";
import { eventually } from "../support/wait.js";

const modes: Readonly<Record<string, JsonObject>> = {
  cri: { mode: "cri" },
  sidecar: { mode: "sidecar", llmConfig: { secretRef: { name: "keys" } } },
  daemonset: { mode: "daemonset" },
};

describe("an A3sBox with the engine Pod", () => {
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
    await bed.create(secret(namespace, "keys"));
  });
  after(() => undo.run());

  const create = async (name: string, spec: JsonObject = {}): Promise<void> => {
    await bed.create(a3sBox(namespace, name, { engine: "Pod", ...spec }));
  };
  const change = async (name: string, spec: JsonObject): Promise<void> => {
    await bed.patch(kinds.box, namespace, name, { spec });
  };
  const told = (name: string, type: string, reason: string): ReturnType<Bed["told"]> =>
    bed.told(namespace, name, type, reason);
  const uidOf = (object: JsonObject): string => textAt(object, "metadata", "uid") ?? "";

  for (const [mode, spec] of Object.entries(modes)) {
    it(`is created, changed, suspended, resumed and deleted in mode ${mode}`, async () => {
      const name = `life-${mode}`;
      await create(name, { ...spec, workspace: { size: "1Gi" } });
      await bed.runPod(namespace, name);
      await told(name, "Ready", "Ready");
      const first = await bed.there(kinds.pod, namespace, name);
      const claim = await bed.there(kinds.volumeClaim, namespace, `${name}-workspace`);
      expect(textsAt(await bed.there(kinds.box, namespace, name), "metadata", "finalizers")).to.have.length(1);

      await change(name, { image: "agent:2" });
      await told(name, "Ready", "Replacing");
      await bed.endPod(namespace, name);
      await eventually("another pod follows", 20_000, async () => {
        const pod = await bed.find(kinds.pod, namespace, name);
        return pod !== undefined && uidOf(pod) !== uidOf(first) ? true : undefined;
      });
      await bed.runPod(namespace, name);
      await told(name, "Ready", "Ready");

      await change(name, { operatingMode: "Suspended" });
      await bed.endPod(namespace, name);
      await told(name, "Suspended", "Suspended");
      await told(name, "Ready", "Suspended");
      expect(await bed.find(kinds.pod, namespace, name)).to.equal(undefined);
      expect(uidOf(await bed.there(kinds.volumeClaim, namespace, `${name}-workspace`))).to.equal(uidOf(claim));
      await eventually("nothing of it is on a node", 10_000, async () =>
        textsAt(await bed.there(kinds.box, namespace, name), "metadata", "finalizers").length === 0 ? true : undefined,
      );

      await change(name, { operatingMode: "Running" });
      await bed.runPod(namespace, name);
      await told(name, "Ready", "Ready");
      await eventually("it is on a node", 10_000, async () =>
        textsAt(await bed.there(kinds.box, namespace, name), "metadata", "finalizers").length === 1 ? true : undefined,
      );

      await bed.remove(kinds.box, namespace, name);
      await told(name, "Ready", "Terminating");
      await bed.endPod(namespace, name);
      await bed.gone(kinds.box, namespace, name);
    });
  }

  it("names a Secret, a ConfigMap and a RuntimeClass that are missing, and goes on when they come", async () => {
    const spec = {
      ...{ mode: "sidecar", llmConfig: { secretRef: { name: "later" } }, runtimeClassName: "later" },
      skills: [{ name: "review", configMapRef: { name: "later" } }],
    };
    await create("missing", spec);
    const first = await told("missing", "Resolved", "RuntimeClassMissing");
    expect(first.message).to.match(/no RuntimeClass later.*no Secret later.*no ConfigMap later/);
    await told("missing", "Ready", "NotResolved");
    await told("missing", "Progressing", "Blocked");
    await bed.create(runtimeClass("later"));
    await told("missing", "Resolved", "SecretMissing");
    await bed.create(secret(namespace, "later"));
    await told("missing", "Resolved", "ConfigMapMissing");
    expect(await bed.find(kinds.pod, namespace, "missing")).to.equal(undefined);
    const data = { "README.md": "none" };
    await bed.create({ apiVersion: "v1", kind: "ConfigMap", metadata: { namespace, name: "later" }, data });
    const invalid = await told("missing", "Resolved", "SkillInvalid");
    expect(invalid.message).to.contain("ConfigMap later of skill review has no key SKILL.md");
    await bed.patch(kinds.configMap, namespace, "later", { data: { "SKILL.md": "---\n", scripts__run: "" } });
    const broken = await told("missing", "Resolved", "SkillBroken");
    expect(broken).to.include({ status: "True" });
    expect(broken.message).to.contain("skill review: SKILL.md of ConfigMap later has no front matter");
    const pod = await bed.there(kinds.pod, namespace, "missing");
    const skills = listAt(pod, "spec", "volumes").find((one) => textAt(one, "name") === "skills");
    const [source] = listAt(skills, "projected", "sources");
    const paths = listAt(source, "configMap", "items").map((item) => textAt(item, "path"));
    expect(paths).to.deep.equal(["review/README.md", "review/SKILL.md", "review/scripts/run"]);
    await bed.patch(kinds.configMap, namespace, "later", { data: { "SKILL.md": skillText("review") } });
    await told("missing", "Resolved", "Resolved");
    const news = ["RuntimeClassMissing", "SkillInvalid", "SkillBroken", "Resolved"];
    await eventually("events say so", 20_000, async () => {
      const told = await bed.eventsOf(namespace, "missing");
      return news.every((reason) => told.includes(reason)) ? true : undefined;
    });
  });

  it("works on its prompt once, is finished, and begins again when it is changed", async () => {
    await create("task", { codingAgent: { kind: "codex", prompt: "fix it" } });
    await bed.runPod(namespace, "task");
    const container = listAt(await bed.there(kinds.pod, namespace, "task"), "spec", "containers")[0];
    expect(textsAt(container, "command")).to.include.members(["codex", "exec", "fix it"]);
    const terminated = { exitCode: 0, reason: "Completed" };
    const containerStatuses = [
      { name: "agent", state: { terminated }, ready: false, restartCount: 0, image: "", imageID: "" },
    ];
    await bed.patch(kinds.pod, namespace, "task", { status: { phase: "Succeeded", containerStatuses } }, "/status");
    const finished = await told("task", "Finished", "PodSucceeded");
    expect(finished.message).to.contain("container agent has ended with 0");
    await told("task", "Progressing", "Settled");
    await bed.remove(kinds.pod, namespace, "task", { gracePeriodSeconds: 0 });
    await eventually("the pod is not named any more", 20_000, async () =>
      textAt(await bed.there(kinds.box, namespace, "task"), "status", "podName") === undefined ? true : undefined,
    );
    expect(await bed.find(kinds.pod, namespace, "task")).to.equal(undefined);
    await change("task", { codingAgent: { kind: "codex", prompt: "once more" } });
    await bed.there(kinds.pod, namespace, "task");
    await told("task", "Finished", "NotFinished");
  });

  it("says why its container does not run", async () => {
    await create("no-image");
    await bed.runPod(namespace, "no-image");
    const waiting = { reason: "ImagePullBackOff", message: "Back-off pulling image" };
    const containerStatuses = [
      { name: "agent", state: { waiting }, ready: false, restartCount: 0, image: "", imageID: "" },
    ];
    const conditions = [
      { type: "PodScheduled", status: "True" },
      { type: "Ready", status: "False" },
    ];
    await bed.patch(
      kinds.pod,
      namespace,
      "no-image",
      { status: { phase: "Pending", conditions, containerStatuses } },
      "/status",
    );
    const { message } = await told("no-image", "Ready", "ImagePullBackOff");
    expect(message).to.equal("container agent: Back-off pulling image: is spec.image right, and may the node pull it?");
  });

  it("says what the API server does not let it do, and tries again", async () => {
    const labels = { "pod-security.kubernetes.io/enforce": "baseline" };
    await bed.admin.ask("PATCH", `/api/v1/namespaces/${namespace}`, {
      ...{ body: { metadata: { labels } }, contentType: "application/merge-patch+json" },
    });
    await create("host", { mode: "daemonset" });
    const { message } = await told("host", "Ready", "Refused");
    expect(message).to.match(/violates PodSecurity.*hostPath.*needs a namespace whose pod security level allows it/);
    await bed.admin.ask("PATCH", `/api/v1/namespaces/${namespace}`, {
      body: { metadata: { labels: { "pod-security.kubernetes.io/enforce": "privileged" } } },
      contentType: "application/merge-patch+json",
    });
    await bed.runPod(namespace, "host");
    await told("host", "Ready", "Ready");
  });

  it("leaves what is not its own alone", async () => {
    const containers = [{ name: "a", image: "a" }];
    await bed.create({ apiVersion: "v1", kind: "Pod", metadata: { namespace, name: "taken" }, spec: { containers } });
    await create("taken");
    expect((await told("taken", "Ready", "NameTaken")).message).to.match(
      /Pod taken is there and is not of this A3sBox/,
    );
    const pod = await bed.there(kinds.pod, namespace, "taken");
    expect(objectAt(pod, "metadata", "labels")).to.equal(undefined);
    await bed.remove(kinds.pod, namespace, "taken", { gracePeriodSeconds: 0 });
    await bed.runPod(namespace, "taken");
    await told("taken", "Ready", "Ready");
  });

  it("takes back what another manager has changed, and says whose it was", async () => {
    await create("shared");
    const policy = await bed.there(kinds.networkPolicy, namespace, "shared");
    await told("shared", "Ready", "Starting");
    const spec = { ...objectAt(policy, "spec"), podSelector: { matchLabels: { "a3s.dev/box": "other" } } };
    await bed.patch(kinds.networkPolicy, namespace, "shared", { spec });
    await eventually("the policy is as it was", 20_000, async () => {
      const selector = objectAt(await bed.there(kinds.networkPolicy, namespace, "shared"), "spec", "podSelector");
      return textAt(selector, "matchLabels", "a3s.dev/box") === "shared" ? true : undefined;
    });
    await eventually("an event says so", 10_000, async () =>
      (await bed.eventsOf(namespace, "shared")).includes("TookBack") ? true : undefined,
    );
    // A pod that has lost its label is found by its owner.
    await bed.patch(kinds.pod, namespace, "shared", { metadata: { labels: { "a3s.dev/box": null } } });
    await eventually("the pod has its label again", 20_000, async () => {
      const labels = objectAt(await bed.there(kinds.pod, namespace, "shared"), "metadata", "labels");
      return textAt(labels, "a3s.dev/box") === "shared" ? true : undefined;
    });
  });

  it("ends at its time, and its policy goes where it is open", async () => {
    await create("short", { shutdownTime: new Date(Date.now() + 2500).toISOString().replace(/\.\d+Z/, "Z") });
    await bed.there(kinds.networkPolicy, namespace, "short");
    await told("short", "Finished", "ShutdownTimePassed");
    await bed.gone(kinds.pod, namespace, "short");
    await change("short", { network: { egress: "Open" }, shutdownTime: null });
    await bed.gone(kinds.networkPolicy, namespace, "short");
    await bed.there(kinds.pod, namespace, "short");
  });

  it("follows a pod that its node has ended", async () => {
    await create("evicted");
    await bed.runPod(namespace, "evicted");
    const first = uidOf(await bed.there(kinds.pod, namespace, "evicted"));
    await bed.patch(kinds.pod, namespace, "evicted", { status: { phase: "Failed", reason: "Evicted" } }, "/status");
    await eventually("another follows", 20_000, async () => {
      const pod = await bed.find(kinds.pod, namespace, "evicted");
      return pod !== undefined && uidOf(pod) !== first ? true : undefined;
    });
  });
});

function secret(namespace: string, name: string): JsonObject {
  return { apiVersion: "v1", kind: "Secret", metadata: { namespace, name }, stringData: { "llm-config.json": "{}" } };
}
