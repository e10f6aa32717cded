/** That the API server refuses an A3sBox that could not be, in words that say what to do. */
import { expect } from "chai";
import { load } from "js-yaml";
import { messageOf } from "../../operator/src/kube/error.js";
import { isObject, objectAt, type JsonObject } from "../../operator/src/kube/json.js";
import { kinds } from "../../operator/src/kube/kinds.js";
import { codeBlocksOf, textOf } from "../support/documents.js";
import { a3sBox, objectsOf, operatorBed, type Bed } from "../support/operator/bed.js";

const secretRef = { name: "keys" };
const configMapRef = { name: "s" };

/** What is added to the least, and what it is refused with. */
const refused: readonly (readonly [JsonObject, RegExp])[] = [
  [{ mode: "vm" }, /spec.mode: Unsupported value/],
  [{ image: "" }, /spec.image/],
  [{ mode: "sidecar" }, /mode sidecar needs llmConfig.secretRef/],
  [{ mode: "sidecar", llmConfig: { providers: ["a"] } }, /mode sidecar needs llmConfig.secretRef/],
  [{ llmConfig: { secretRef } }, /secretRef is of mode sidecar/],
  [{ mode: "daemonset", llmConfig: { providers: ["a"] } }, /providers is of mode cri/],
  [{ llmConfig: {} }, /spec.llmConfig/],
  [{ llmConfig: { providers: ["A B"] } }, /spec.llmConfig.providers/],
  [{ engine: "Docker" }, /spec.engine: Unsupported value/],
  [{ engine: "Pod", pool: { replicas: 1 } }, /a pool needs engine AgentSandbox/],
  [{ engine: "AgentSandbox", pool: { replicas: 0 } }, /spec.pool.replicas/],
  [
    { engine: "AgentSandbox", pool: { replicas: 1 }, workspace: { size: "1Gi" } },
    /members of a pool have no workspace/,
  ],
  [{ codingAgent: { kind: "vim" } }, /spec.codingAgent.kind: Unsupported value/],
  [{ codingAgent: { kind: "custom" } }, /kind custom needs a command/],
  [{ codingAgent: { kind: "codex", version: "1/2" } }, /spec.codingAgent.version/],
  [{ codingAgent: { kind: "codex", prompt: "" } }, /spec.codingAgent.prompt/],
  [{ skills: [{ name: "No", configMapRef }] }, /spec.skills\[0\].name/],
  [{ skills: [{ name: "a--b", configMapRef }] }, /spec.skills\[0\].name/],
  [{ skills: [{ name: "a" }] }, /configMapRef: Required value/],
  [
    {
      skills: [
        { name: "a", configMapRef },
        { name: "a", configMapRef },
      ],
    },
    /Duplicate value/,
  ],
  [{ resources: { memory: "64Mi" } }, /memory is a quantity of 128Mi or more/],
  [{ resources: { memory: "much" } }, /memory is a quantity of 128Mi or more/],
  [{ resources: { memory: "2Ti" } }, /memory is 1Ti at most/],
  [{ resources: { cpus: 0 } }, /cpus is a quantity of 100m or more/],
  [{ resources: { cpus: 1000 } }, /cpus is 256 at most/],
  [{ resources: { disk: "1Gi" } }, /unknown field "spec.resources.disk"/],
  [{ colour: "red" }, /unknown field "spec.colour"/],
  [{ operatingMode: "Paused" }, /spec.operatingMode: Unsupported value/],
  [{ network: { egress: "All" } }, /spec.network.egress: Unsupported value/],
  [{ shutdownTime: "tomorrow" }, /spec.shutdownTime/],
  [{ workspace: {} }, /spec.workspace.size: Required value/],
  [{ workspace: { size: "-1Gi" } }, /size is a quantity/],
];

const taken: readonly JsonObject[] = [
  {},
  { mode: "daemonset", runtimeClassName: "native" },
  { mode: "sidecar", llmConfig: { secretRef } },
  { resources: { memory: "128Mi", cpus: 2 }, shutdownTime: "2030-01-01T00:00:00Z" },
  { resources: { memory: 1073741824, cpus: "500m" }, workspace: { size: "10Gi" } },
  { codingAgent: { kind: "custom", command: ["agent"], prompt: "go" }, llmConfig: { providers: ["openai"] } },
  { engine: "Auto", pool: { replicas: 3 }, network: { egress: "None" } },
];

describe("an A3sBox that is applied", () => {
  let bed: Bed;
  let namespace = "";
  before(async function () {
    bed = await operatorBed(this);
    namespace = await bed.namespace();
  });

  const refusal = async (work: Promise<unknown>): Promise<string> => await work.then(() => "it was taken", messageOf);

  it("is refused with what is wrong", async () => {
    const wrong: string[] = [];
    for (const [spec, words] of refused) {
      const said = await refusal(bed.create(a3sBox(namespace, "bad", { engine: "Auto", ...spec })));
      if (!words.test(said)) wrong.push(`${JSON.stringify(spec)}: ${said}`);
    }
    expect(wrong).to.deep.equal([]);
    expect(await bed.list(kinds.box, namespace)).to.deep.equal([]);
  });

  it("is taken, with what it does not say filled in", async () => {
    for (const [place, spec] of taken.entries())
      await bed.create(a3sBox(namespace, `good-${String(place)}`, { engine: "Auto", ...spec }));
    const box = await bed.there(kinds.box, namespace, "good-0");
    expect(box["spec"]).to.deep.equal({
      ...{ mode: "cri", image: "agent:1", engine: "Auto", operatingMode: "Running", network: { egress: "Internet" } },
    });
  });

  it("has a name that pods and volumes can have", async () => {
    expect(await refusal(bed.create(a3sBox(namespace, "a".repeat(53))))).to.match(/the name is too long/);
    expect(await refusal(bed.create(a3sBox(namespace, "a.b")))).to.match(/the name is no label of DNS/);
    await bed.create(a3sBox(namespace, "a".repeat(52)));
  });

  it("keeps its mode and its workspace", async () => {
    await bed.create(a3sBox(namespace, "kept", { workspace: { size: "1Gi" } }));
    const change = async (spec: JsonObject): Promise<string> =>
      await refusal(bed.patch(kinds.box, namespace, "kept", { spec }));
    expect(await change({ mode: "daemonset" })).to.match(/mode can't be changed/);
    expect(await change({ workspace: { size: "2Gi" } })).to.match(/workspace can't be changed/);
    expect(await change({ workspace: null })).to.match(/workspace can't be added or taken away/);
    expect(await change({ image: "agent:2" })).to.equal("it was taken");
  });

  it("is what the guide and the example have", async () => {
    const blocks = codeBlocksOf(await textOf("docs/guide/a3sbox.md")).filter(({ language }) => language === "yaml");
    const written: unknown[] = [
      ...blocks.map(({ text }): unknown => load(text)),
      ...(await objectsOf("deploy/operator/example.yaml")),
    ];
    const boxes = written.filter(isObject);
    expect(boxes).to.have.length(2);
    // They are the same.
    expect(boxes[0]).to.deep.equal(boxes[1]);
    for (const box of boxes.slice(1))
      await bed.create({ ...box, metadata: { ...objectAt(box, "metadata"), namespace } });
  });

  it("has an operator whose pods are allowed where it is", async () => {
    const [deployment = {}] = await objectsOf("deploy/operator/deployment.yaml");
    await bed.create(deployment);
    const metadata = { namespace: "a3s-system", name: "like-the-operator" };
    await bed.create({
      apiVersion: "v1",
      kind: "Pod",
      metadata,
      spec: objectAt(deployment, "spec", "template", "spec"),
    });
  });

  it("is found by its mode and its agent", async () => {
    const answer = await bed.admin.get(kinds.box, { namespace }, { query: { fieldSelector: "spec.mode=daemonset" } });
    expect(answer["items"]).to.have.length(1);
  });
});
