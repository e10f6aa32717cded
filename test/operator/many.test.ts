/** 200 A3sBoxes: how much memory they take, and that nothing is written where nothing has changed. */
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { objectAt, textAt, type JsonObject } from "../../operator/src/kube/json.js";
import { kinds } from "../../operator/src/kube/kinds.js";
import { conditionOf } from "../../operator/src/box/pod-facts.js";
import { a3sBox, operatorBed, type Bed } from "../support/operator/bed.js";
import { OperatorProcess } from "../support/operator/operator-process.js";
import { Undo } from "../support/undo.js";
import { eventually } from "../support/wait.js";

const count = 200;
/** `A3S_OPERATOR_MINUTES=5`: how long nothing may be written. */
const minutes = Number(process.env["A3S_OPERATOR_MINUTES"] ?? "0");

describe(`${String(count)} A3sBoxes`, () => {
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

  const names = Array.from({ length: count }, (_, place) => `box-${String(place)}`);
  const each = async (work: (name: string) => Promise<void>): Promise<void> => {
    const left = [...names];
    const worker = async (): Promise<void> => {
      for (let name = left.pop(); name !== undefined; name = left.pop()) await work(name);
    };
    await Promise.all(Array.from({ length: 8 }, worker));
  };
  const versions = async (): Promise<ReadonlyMap<string, string>> => {
    const all: JsonObject[] = [];
    for (const kind of [kinds.box, kinds.pod, kinds.networkPolicy, kinds.volumeClaim, kinds.event]) {
      for (const object of await bed.list(kind, namespace)) all.push({ ...object, kind: kind.kind });
    }
    return new Map(
      all.map((object) => [
        `${textAt(object, "kind") ?? ""} ${textAt(object, "metadata", "name") ?? ""}`,
        textAt(object, "metadata", "resourceVersion") ?? "",
      ]),
    );
  };

  it("are ready, with less than 100 MiB of the operator's", async function () {
    this.timeout(240_000);
    const beganMs = performance.now();
    const llmConfig = { providers: ["openai"] };
    await each((name) => bed.create(a3sBox(namespace, name, { engine: "Pod", llmConfig, workspace: { size: "1Gi" } })));
    await each((name) => bed.runPod(namespace, name));
    await eventually("all are ready", 120_000, async () => {
      const boxes = await bed.list(kinds.box, namespace);
      return boxes.every((box) => conditionOf(box, "Ready")?.status === "True" && hasFinalizer(box)) ? true : undefined;
    });
    const { now, peak } = await operator.memoryMib();
    const seconds = ((performance.now() - beganMs) / 1000).toFixed(1);
    process.stdout.write(
      `      ${String(count)} ready in ${seconds} s; ${now.toFixed(0)} MiB, ${peak.toFixed(0)} MiB at most\n`,
    );
    expect(peak).to.be.lessThan(100);
    expect(await operator.metric("a3s_box_operator_boxes")).to.be.at.least(count);
  });

  it("stay as they are, to the version, when each is looked at again", async function () {
    this.timeout(120_000 + minutes * 60_000);
    await eventually("nothing is left to be done", 30_000, async () =>
      (await operator.metric("a3s_box_operator_queue_depth")) === 0 ? true : undefined,
    );
    const before = await versions();
    const writes = await operator.metric("a3s_box_operator_writes_total");
    const looks = await operator.metric("a3s_box_operator_reconciles_total");
    // A RuntimeClass that changes has each looked at.
    const body = { metadata: { labels: { changed: String(Date.now()) } } };
    const contentType = "application/merge-patch+json";
    await bed.admin.ask("PATCH", "/apis/node.k8s.io/v1/runtimeclasses/microvm", { body, contentType });
    await eventually("each was looked at", 60_000, async () =>
      (await operator.metric("a3s_box_operator_reconciles_total")) >= looks + count ? true : undefined,
    );
    if (minutes > 0) await delay(minutes * 60_000);
    expect(await operator.metric("a3s_box_operator_writes_total")).to.equal(writes);
    expect([...(await versions())]).to.deep.equal([...before]);
  });

  it("are as they were for an operator that has just started", async () => {
    const before = await versions();
    await operator.end();
    operator = await OperatorProcess.start(bed.server);
    await operator.leads();
    await eventually("it has looked at each", 60_000, async () =>
      (await operator.metric("a3s_box_operator_reconciles_total")) >= count &&
      (await operator.metric("a3s_box_operator_queue_depth")) === 0
        ? true
        : undefined,
    );
    const own = [...(await versions())].filter(([name, version]) => before.get(name) !== version);
    expect(own).to.deep.equal([]);
  });
});

function hasFinalizer(box: JsonObject): boolean {
  return objectAt(box, "metadata")?.["finalizers"] !== undefined;
}
