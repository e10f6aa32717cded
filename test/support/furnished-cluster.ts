/**
 * The cluster of one node as `npm run cluster` has it, by the guide's own commands: the chart by helm, its operator in a pod, and,
 * to play with, an agent and a model.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { orAborted } from "../../src/base/or-aborted.js";
import { startCluster, type Cluster, type ClusterOptions } from "./cluster.js";
import { chartDirectory, Helm } from "./deploy/helm.js";
import { operatorImage } from "./deploy/operator-image.js";
import { busyboxSource, type NamedImage } from "./images.js";
import { nodeName } from "./kubelet.js";
import { startFakeModels, type FakeModels } from "./models/fake-models.js";
import { projectDirectory } from "./project.js";
import { buildLayer } from "./tar-builder.js";
import { Undo } from "./undo.js";

/** An A3sBox with the agent of the cluster. */
export const exampleFile = join(projectDirectory, "scripts/cluster/a3sbox.yaml");
export const agentImageName = "localhost/a3s-box/agent:1";
/** What the models want, and no Box ever has. */
const modelKey = "sk-of-the-node";
const release = { name: "a3s-box", namespace: "a3s" } as const;

export interface FurnishedCluster extends Cluster {
  readonly models: FakeModels;
}

export interface FurnishedOptions extends Pick<ClusterOptions, "signal" | "images"> {
  /** TOML, more of it: tables. Told where the models are, and where their key is. */
  readonly config?: (modelsUrl: string, keyFile: string) => string;
}

export async function startFurnishedCluster({
  config: more = () => "",
  images: others = [],
  signal,
}: FurnishedOptions = {}): Promise<FurnishedCluster> {
  const undo = new Undo();
  try {
    const directory = await mkdtemp(join(tmpdir(), "a3s-f"));
    undo.add(() => rm(directory, { recursive: true, force: true }));
    const models = await startFakeModels(undefined);
    models.keys = [modelKey];
    undo.add(() => models.stop());
    const keyFile = join(directory, "key");
    await writeFile(keyFile, modelKey, { mode: 0o600 });
    const llm = `[[llm]]\nname = "fake"\nkind = "openai"\nupstream = "${models.url}/v1"\nvalue_file = "${keyFile}"\n`;
    const config = `[handlers.agents]\nllm = ["*"]\nannotations = ["skills"]\n${llm}${more(models.url, keyFile)}`;
    const images = [await operatorImage("localhost/a3s-box/operator:1"), await agentImage(), ...others];
    const cluster = await startCluster({
      ...{ config, images, authorization: "RBAC" },
      ...(signal === undefined ? {} : { signal }),
    });
    undo.add(() => cluster.remove());
    const helm = await Helm.open(cluster.plane.kubeconfig);
    undo.add(() => helm.close());
    const installed = install(cluster, helm);
    await (signal === undefined ? installed : orAborted(installed, signal));
    return { ...cluster, models, remove: () => undo.run() };
  } catch (thrown) {
    await undo.run();
    throw thrown;
  }
}

/** Waits until the operator serves. */
async function install({ kubectl, wait }: Cluster, helm: Helm): Promise<void> {
  await wait(`node/${nodeName}`, "condition=Ready", 240);
  // As the chart's own pods say it of a node that was switched over: kubelet's runtime is this one.
  await kubectl("label", "node", nodeName, "a3s.dev/cri=active");
  const where = ["--namespace", release.namespace];
  const values = ["--values", join(projectDirectory, "scripts/cluster/values.yaml")];
  await helm.run("install", release.name, chartDirectory, ...where, "--create-namespace", ...values);
  await kubectl(...where, "rollout", "status", `deployment/${release.name}-operator`, "--timeout=170s");
  await wait("crd/a3sboxes.a3s.dev", "condition=Established", 60);
}

async function agentImage(): Promise<NamedImage> {
  const at = (path: string): Promise<Buffer> => readFile(join(projectDirectory, path));
  const layer = buildLayer([
    { name: "usr/local/bin/agent", mode: 0o755, content: await at("scripts/cluster/agent.sh") },
    { name: "usr/local/lib/acp.sh", content: await at("test/support/agents/fake-agent.sh") },
  ]);
  return { tag: agentImageName, ...(await busyboxSource({}, [layer])) };
}
