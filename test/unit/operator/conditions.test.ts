import { expect } from "chai";
import { conditionsOf, newsOf, statusOf, type Facts } from "../../../operator/src/box/conditions.js";
import { readSpec } from "../../../operator/src/box/spec.js";
import { canonical, listAt, textAt, type JsonObject } from "../../../operator/src/kube/json.js";

const nowMs = Date.parse("2026-01-01T00:00:00Z");

function facts(members: JsonObject = {}, more: Partial<Facts> = {}): Facts {
  const box = {
    metadata: { name: "b", namespace: "n", uid: "u", generation: 1 },
    spec: { mode: "cri", image: "i", ...members },
  };
  return {
    ...{
      box,
      spec: readSpec(box),
      nowMs,
      engine: "Pod",
      problems: [],
      broken: [],
      refusal: undefined,
      pod: undefined,
      runner: undefined,
    },
    ...{ replacing: false, ...more },
  };
}

const pod = (conditions: readonly JsonObject[], status: JsonObject = {}): JsonObject => ({
  metadata: { name: "b" },
  status: { conditions, ...status },
});
const reasons = (of: Facts): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(conditionsOf(of)).map(([type, { status, reason }]) => [type, `${status} ${reason}`]),
  );

describe("the conditions of an A3sBox", () => {
  it("say that it starts, and that it is ready", () => {
    expect(reasons(facts())).to.include({
      Ready: "False Starting",
      Progressing: "True Starting",
      Resolved: "True Resolved",
    });
    const ready = pod([
      { type: "Ready", status: "True" },
      { type: "PodScheduled", status: "True" },
    ]);
    expect(reasons(facts({}, { pod: ready }))).to.deep.equal({
      ...{ Ready: "True Ready", Resolved: "True Resolved", Progressing: "False Settled", Suspended: "False Running" },
      ...{ PodScheduled: "True Scheduled", Finished: "False NotFinished" },
    });
  });

  it("name all that is missing", () => {
    const problems = [
      { reason: "SecretMissing", message: "there is no Secret a" },
      { reason: "ConfigMapMissing", message: "there is no ConfigMap b" },
    ];
    const { Resolved, Ready, Progressing } = conditionsOf(facts({}, { problems }));
    expect(Resolved).to.deep.equal({
      ...{ status: "False", reason: "SecretMissing", message: "there is no Secret a; there is no ConfigMap b" },
    });
    expect([Ready.reason, Progressing.reason]).to.deep.equal(["NotResolved", "Blocked"]);
  });

  it("say of a pod that no node takes what to do", () => {
    const message = "0/1 nodes are available: 1 Insufficient devices.kubevirt.io/kvm.";
    const waits = pod([{ type: "PodScheduled", status: "False", reason: "Unschedulable", message }]);
    const { Ready } = conditionsOf(facts({}, { pod: waits }));
    expect(Ready.reason).to.equal("Unschedulable");
    expect(Ready.message).to.match(/Insufficient devices.kubevirt.io\/kvm: mode sidecar needs nodes with KVM/);
  });

  it("do not take a pod that is replaced for the end", () => {
    const agent = { codingAgent: { kind: "codex", prompt: "p" } };
    const ended = pod([], { phase: "Succeeded" });
    expect(reasons(facts(agent, { pod: ended }))).to.include({
      Finished: "True PodSucceeded",
      Progressing: "False Settled",
    });
    expect(reasons(facts(agent, { pod: ended, replacing: true }))).to.include({ Finished: "False NotFinished" });
    expect(reasons(facts({}, { pod: ended }))).to.include({ Finished: "False NotFinished" });
  });

  it("say that it is suspended when its pod is gone", () => {
    const suspended = { operatingMode: "Suspended" };
    expect(reasons(facts(suspended, { pod: pod([]) }))).to.include({
      Suspended: "False Suspending",
      Progressing: "True Suspending",
    });
    expect(reasons(facts(suspended))).to.include({ Suspended: "True Suspended", Progressing: "False Settled" });
  });

  it("have the time of their change, and are the same text while nothing changes", () => {
    const first = facts();
    const status = statusOf(first, conditionsOf(first));
    const box = { ...first.box, status };
    const later = facts({}, { box, nowMs: nowMs + 60_000 });
    expect(canonical(statusOf(later, conditionsOf(later)))).to.equal(canonical(status));
    const changed = facts({}, { box, nowMs: nowMs + 60_000, pod: pod([{ type: "Ready", status: "True" }]) });
    const [ready] = listAt(statusOf(changed, conditionsOf(changed)), "conditions");
    expect(textAt(ready, "lastTransitionTime")).to.equal("2026-01-01T00:01:00Z");
  });

  it("keep the engine's name while it can't be had", () => {
    const first = facts({}, { engine: "AgentSandbox" });
    const status = statusOf(first, conditionsOf(first));
    const later = facts({}, { box: { ...first.box, status }, engine: undefined });
    expect(statusOf(later, conditionsOf(later))).to.include({ engine: "AgentSandbox" });
  });

  it("are news when they change, and none when they do not", () => {
    const first = facts({}, { problems: [{ reason: "SecretMissing", message: "there is no Secret a" }] });
    const conditions = conditionsOf(first);
    const news = newsOf(first.box, conditions);
    expect(news.map(({ type, reason }) => `${type} ${reason}`)).to.deep.equal([
      "Warning NotResolved",
      "Warning SecretMissing",
    ]);
    expect(newsOf({ ...first.box, status: statusOf(first, conditions) }, conditions)).to.deep.equal([]);
  });

  it("name a skill that is broken, as a warning, and nothing waits for it", () => {
    const broken = ["skill review: SKILL.md of ConfigMap c has no description"];
    const first = facts({}, { broken });
    const conditions = conditionsOf(first);
    expect(conditions.Resolved).to.include({ status: "True", reason: "SkillBroken" });
    expect(conditions.Ready.reason).to.equal("Starting");
    const [, news] = newsOf(first.box, conditions);
    expect(news).to.include({ type: "Warning", reason: "SkillBroken" });
    expect(news?.message).to.contain("agents leave out skill review: SKILL.md of ConfigMap c has no description");
    const box = { ...first.box, status: statusOf(first, conditions) };
    expect(newsOf(box, conditions)).to.deep.equal([]);
    expect(newsOf(box, conditionsOf(facts({}, { box }))).map(({ type, reason }) => `${type} ${reason}`)).to.deep.equal([
      "Normal Resolved",
    ]);
  });
});
