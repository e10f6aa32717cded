/**
 * An A3sBox from its object to a microVM: API server, operator, kubelet, daemon; the test is the scheduler. An agent works in it,
 * with its model and without the model's key. Skipped without `npm run setup -- cluster`, as the clusters are.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { kinds } from "../../operator/src/kube/kinds.js";
import type { JsonObject } from "../../operator/src/kube/json.js";
import { PodSandboxState } from "../../src/gen/runtime/v1/api.js";
import { hasControlPlane } from "../support/control-plane.js";
import { runtime } from "../support/cri-client.js";
import { Daemon } from "../support/daemon.js";
import { busybox, busyboxImage } from "../support/images.js";
import { Kubelet, nodeName } from "../support/kubelet.js";
import { NodeNetwork } from "../support/node-network.js";
import { a3sBox, Bed, runtimeClass } from "../support/operator/bed.js";
import { OperatorProcess } from "../support/operator/operator-process.js";
import { skipBecause } from "../support/skip.js";
import { Undo } from "../support/undo.js";
import { eventually, limit } from "../support/wait.js";

const key = "sk-of-the-node";

describe("An A3sBox on a node", () => {
  let bed: Bed;
  let daemon: Daemon;
  let namespace = "";
  const undo = new Undo();
  /** What the model was asked with. */
  const keys: string[] = [];

  before(async function () {
    this.timeout(limit(300_000));
    if (!hasControlPlane()) skipBecause(this, "needs an API server: npm run setup -- cluster");
    const directory = await mkdtemp(join(tmpdir(), "a3s-ab"));
    undo.add(() => rm(directory, { recursive: true, force: true }));
    const node = await NodeNetwork.here();
    undo.add(() => node.remove());
    const ipam = node.ipam("10.97.7.0/24", "fd97:7::/64");
    await node.configure([{ type: "bridge", bridge: "pods", isGateway: true, ipam }]);
    const model = await fakeModel(keys);
    undo.add(() => new Promise((resolve) => model.server.close(resolve)));
    await writeFile(join(directory, "key"), `${key}\n`);
    const llm = `[[llm]]\nname = "fake"\nkind = "openai"\nupstream = "${model.url}"\nvalue_file = "${join(directory, "key")}"\n`;
    const config = `${node.daemonConfig}[handlers.agents]\nllm = ["*"]\n${llm}`;
    daemon = await Daemon.start({ images: [await busybox()], config, nodeNetns: node.netns });
    undo.add(() => daemon.remove());
    bed = await Bed.open();
    undo.add(() => bed.server.remove());
    const kubeconfig = await bed.server.kubeconfigFile("admin");
    const kubelet = await Kubelet.start(daemon, { kubeconfig, more: { address: "0.0.0.0" } });
    undo.add(() => kubelet.remove());
    const operator = await OperatorProcess.start(bed.server, ["--runtime-class", "agents"]);
    undo.add(() => operator.end());
    namespace = await bed.namespace();
    await bed.create({ ...runtimeClass("agents"), handler: "agents" });
    await operator.leads();
  });
  after(async function () {
    this.timeout(limit(180_000));
    await undo.run();
  });

  const create = async (name: string, spec: JsonObject): Promise<void> => {
    const llmConfig = { providers: ["fake"] };
    await bed.create(a3sBox(namespace, name, { engine: "Pod", image: busyboxImage, llmConfig, ...spec }));
    await bed.bindPod(namespace, name, nodeName);
  };
  /** Those with a microVM: what has ended is listed until kubelet collects it. */
  const podsOnTheNode = async (): Promise<readonly (string | undefined)[]> => {
    const { items } = await daemon.cri.call(runtime.listPodSandbox, { filter: undefined });
    return items.filter(({ state }) => state === PodSandboxState.SANDBOX_READY).map(({ metadata }) => metadata?.name);
  };

  it("works on its prompt with its model and its skills, and has not the model's key", async function () {
    this.timeout(limit(180_000));
    const data = { "SKILL.md": "name: review\n", "scripts__run.sh": "#!/bin/sh\necho reviewed\n" };
    await bed.create({ apiVersion: "v1", kind: "ConfigMap", metadata: { namespace, name: "review" }, data });
    const ask = 'wget -q -O - --header "authorization: Bearer $OPENAI_API_KEY" "$OPENAI_BASE_URL/models"';
    const line = `echo "task: $0"; cat /skills/review/SKILL.md; /skills/review/scripts/run.sh; ${ask}; echo; env; uname -r`;
    const beganMs = performance.now();
    await create("task", {
      codingAgent: { kind: "custom", command: ["sh", "-c", line], prompt: "fix the build" },
      skills: [{ name: "review", configMapRef: { name: "review" } }],
    });
    const finished = await bed.told(namespace, "task", "Finished", "PodSucceeded", 120_000);
    process.stdout.write(`      from its object to the end of its work: ${seconds(beganMs)} s\n`);
    expect(finished.message).to.contain("has ended with 0");
    const log = await bed.server.logOf(namespace, "task");
    for (const said of ["task: fix the build", "name: review", "reviewed", "a-model-of-the-test"])
      expect(log).to.contain(said);
    expect(log).to.not.contain(key);
    expect(keys).to.deep.equal([`Bearer ${key}`]);
    await bed.remove(kinds.box, namespace, "task");
    await bed.gone(kinds.box, namespace, "task");
    expect(await podsOnTheNode()).to.not.include("task");
  });

  it("waits, is suspended and resumed, and is gone from the node when its deletion has ended", async function () {
    this.timeout(limit(300_000));
    await create("waits", { codingAgent: { kind: "codex" } });
    await bed.told(namespace, "waits", "Ready", "Ready", 120_000);
    const suspendedMs = performance.now();
    await bed.patch(kinds.box, namespace, "waits", { spec: { operatingMode: "Suspended" } });
    await bed.told(namespace, "waits", "Suspended", "Suspended", 60_000);
    process.stdout.write(`      suspended in ${seconds(suspendedMs)} s\n`);
    expect(await podsOnTheNode()).to.not.include("waits");
    const resumedMs = performance.now();
    await bed.patch(kinds.box, namespace, "waits", { spec: { operatingMode: "Running" } });
    await bed.bindPod(namespace, "waits", nodeName);
    await bed.told(namespace, "waits", "Ready", "Ready", 120_000);
    process.stdout.write(`      resumed in ${seconds(resumedMs)} s\n`);
    await bed.remove(kinds.box, namespace, "waits");
    await eventually("it is gone", 60_000, async () =>
      (await bed.find(kinds.box, namespace, "waits")) === undefined ? true : undefined,
    );
    expect(await podsOnTheNode()).to.not.include("waits");
  });
});

function seconds(sinceMs: number): string {
  return ((performance.now() - sinceMs) / 1000).toFixed(1);
}

async function fakeModel(keys: string[]): Promise<{ readonly server: Server; readonly url: string }> {
  const server = createServer((request, response) => {
    keys.push(request.headers.authorization ?? "");
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ object: "list", data: [{ id: "a-model-of-the-test", object: "model" }] }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return { server, url: `http://127.0.0.1:${String(port)}/v1` };
}
