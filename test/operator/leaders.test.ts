/** Who leads, and that nothing is lost: operators and the API server are killed, connections fall silent. */
import { expect } from "chai";
import { numberAt, textAt, type JsonObject } from "../../operator/src/kube/json.js";
import { kinds } from "../../operator/src/kube/kinds.js";
import { a3sBox, operatorBed, type Bed } from "../support/operator/bed.js";
import { OperatorProcess } from "../support/operator/operator-process.js";
import { SilentProxy } from "../support/operator/silent-proxy.js";
import { Undo } from "../support/undo.js";
import { eventually, limit } from "../support/wait.js";

describe("several operators", () => {
  let bed: Bed;
  let namespace = "";
  const undo = new Undo();
  before(async function () {
    bed = await operatorBed(this);
    namespace = await bed.namespace();
  });
  afterEach(() => undo.run());

  const start = async (flags: readonly string[] = [], port?: number): Promise<OperatorProcess> => {
    const operator = await OperatorProcess.start(bed.server, flags, port);
    undo.add(() => operator.end());
    return operator;
  };
  const create = async (name: string): Promise<void> => {
    await bed.create(a3sBox(namespace, name, { engine: "Pod" }));
  };
  const lease = async (): Promise<JsonObject> => await bed.there(kinds.lease, "a3s-system", "a3s-box-operator");

  it("have one leader; another has taken over within 20 s of its SIGKILL, and at once when it ends by itself", async () => {
    const first = await start();
    await first.leads();
    const second = await start();
    await second.said("the operator has started");
    await eventually("the second is ready to take over", 10_000, async () =>
      (await second.ask("/readyz")).status === 200 ? true : undefined,
    );
    expect(await second.isLeading()).to.equal(false);
    expect(await second.metric("a3s_box_operator_leader")).to.equal(0);
    expect(await first.metric("a3s_box_operator_leader")).to.equal(1);
    const killedMs = performance.now();
    await first.end("SIGKILL");
    await create("after-kill");
    await second.leads(20_000);
    await bed.there(kinds.pod, namespace, "after-kill");
    const tookMs = performance.now() - killedMs;
    process.stdout.write(`      taken over and at work ${(tookMs / 1000).toFixed(1)} s after SIGKILL\n`);
    expect(tookMs).to.be.lessThan(limit(20_000));

    const third = await start();
    await third.said("the operator has started");
    expect(await second.end("SIGTERM")).to.equal(0);
    await third.leads(limit(6_000));
    expect(numberAt(await lease(), "spec", "leaseTransitions")).to.be.greaterThan(1);
  });

  it("end when their lease is another's, rather than be two", async () => {
    const operator = await start();
    await operator.leads();
    await bed.patch(kinds.lease, "a3s-system", "a3s-box-operator", {
      spec: { holderIdentity: "somebody", leaseDurationSeconds: 1 },
    });
    await operator.said("the lease is lost, this operator ends");
    await eventually("it has ended", 10_000, () => operator.exitCode ?? undefined);
    expect(operator.exitCode).to.equal(1);
  });

  it("lose no event while the API server is killed and comes back", async function () {
    this.timeout(180_000);
    // It may be away for longer than a lease holds: the leader is to be the one that there is.
    const operator = await start(["--lease-seconds", "60"]);
    await operator.leads();
    await create("outage-old");
    await bed.runPod(namespace, "outage-old");
    await bed.told(namespace, "outage-old", "Ready", "Ready");
    await create("outage-gone");
    await bed.there(kinds.pod, namespace, "outage-gone");
    await bed.server.kill();
    await bed.server.launch();
    await eventually("A3sBoxes are served again", 30_000, () => bed.list(kinds.box, namespace));
    // At once: the operator's watches may not be there yet.
    await create("outage-new");
    await bed.remove(kinds.box, namespace, "outage-gone");
    await bed.patch(kinds.box, namespace, "outage-old", { spec: { operatingMode: "Suspended" } });
    await bed.there(kinds.pod, namespace, "outage-new");
    await bed.endPod(namespace, "outage-old");
    await bed.told(namespace, "outage-old", "Suspended", "Suspended");
    await bed.gone(kinds.box, namespace, "outage-gone");
    expect(operator.exitCode).to.equal(null);
    expect(await operator.metric("a3s_box_operator_watch_restarts_total")).to.be.greaterThan(0);
  });

  it("notice a watch that has fallen silent", async () => {
    const proxy = await SilentProxy.before(bed.server.port);
    undo.add(() => proxy.end());
    const operator = await start(["--watch-idle-seconds", "3", "--lease-seconds", "30"], proxy.port);
    await operator.leads();
    await create("heard");
    await bed.there(kinds.pod, namespace, "heard");
    proxy.silence();
    expect(proxy.silenced).to.be.greaterThan(8);
    await create("silent");
    await bed.there(kinds.pod, namespace, "silent");
    const idle = (await operator.lines()).filter((line) => textAt(line, "why") === "Idle");
    expect(idle.length).to.be.greaterThan(0);
    expect(operator.exitCode).to.equal(null);
  });

  it("are not ready while the API server does not answer", async () => {
    const proxy = await SilentProxy.before(9);
    undo.add(() => proxy.end());
    const operator = await start([], proxy.port);
    const { status, text } = await operator.ask("/readyz");
    expect([status, text]).to.deep.equal([503, "the API server does not answer"]);
    expect((await operator.ask("/healthz")).status).to.equal(200);
    expect(await operator.end("SIGTERM")).to.equal(0);
  });
});
