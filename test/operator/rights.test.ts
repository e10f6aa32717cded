/** That the operator's roles are enough, and no wider than what it does: the API server's audit log says both. */
import { expect } from "chai";
import { listAt, textAt, type JsonObject } from "../../operator/src/kube/json.js";
import { kinds } from "../../operator/src/kube/kinds.js";
import { deedsIn, operatorUser } from "../support/operator/api-server.js";
import { a3sBox, objectsOf, operatorBed, type Bed } from "../support/operator/bed.js";
import { OperatorProcess } from "../support/operator/operator-process.js";
import { sandboxCrds } from "../support/operator/sandbox-crds.js";
import { Undo } from "../support/undo.js";

describe("the operator's roles", () => {
  let bed: Bed;
  let operator: OperatorProcess;
  const undo = new Undo();
  before(async function () {
    bed = await operatorBed(this);
    if (!hasGroup(await bed.admin.ask("GET", "/apis", {}))) for (const crd of sandboxCrds) await bed.create(crd);
    operator = await OperatorProcess.start(bed.server);
    undo.add(() => operator.end());
    await operator.leads();
  });
  after(() => undo.run());

  it("let it do all that it does, and nothing else", async () => {
    const beganMs = Date.now();
    const namespace = await bed.namespace();
    const create = async (name: string, spec: JsonObject): Promise<void> => {
      await bed.create(a3sBox(namespace, name, spec));
    };
    await create("a", {
      ...{ engine: "Pod", mode: "sidecar", llmConfig: { secretRef: { name: "none" } }, workspace: { size: "1Gi" } },
      skills: [{ name: "s", configMapRef: { name: "none" } }],
    });
    await bed.told(namespace, "a", "Resolved", "SecretMissing");
    await create("b", { engine: "Pod" });
    await bed.runPod(namespace, "b");
    await bed.told(namespace, "b", "Ready", "Ready");
    await bed.patch(kinds.box, namespace, "b", { spec: { network: { egress: "Open" } } });
    await bed.gone(kinds.networkPolicy, namespace, "b");
    await bed.remove(kinds.box, namespace, "b");
    await bed.endPod(namespace, "b");
    await bed.gone(kinds.box, namespace, "b");
    await create("c", { engine: "AgentSandbox" });
    await create("d", { engine: "AgentSandbox", pool: { replicas: 1 } });
    await bed.there(kinds.sandbox, namespace, "c");
    await bed.there(kinds.claim, namespace, "d");
    for (const name of ["c", "d"]) await bed.patch(kinds.box, namespace, name, { spec: { engine: "Pod", pool: null } });
    await bed.gone(kinds.sandbox, namespace, "c");
    for (const kind of [kinds.claim, kinds.warmPool, kinds.sandboxTemplate]) await bed.gone(kind, namespace, "d");

    // It gives the lease back.
    await operator.end();
    const roles = (await objectsOf("deploy/operator/rbac.yaml")).filter((one) =>
      (textAt(one, "kind") ?? "").endsWith("Role"),
    );
    const allowed = deedsIn(roles.flatMap((role) => listAt(role, "rules")));
    const done = await bed.server.deedsOf(operatorUser, beganMs);
    expect([...done.refused]).to.deep.equal([]);
    // An apply that creates is a patch in the log, and needs both.
    const needed = new Set(done.allowed);
    for (const deed of done.allowed) {
      const [resource = "", verb = ""] = deed.split(" ");
      if (verb === "patch" && !resource.startsWith("a3s.dev/")) needed.add(`${resource} create`);
    }
    expect([...needed].sort()).to.deep.equal([...allowed].sort());
  });
});

function hasGroup(answer: JsonObject): boolean {
  return listAt(answer, "groups").some((one) => textAt(one, "name") === "agents.x-k8s.io");
}
