/** One API server for all tests of the operator, with what `deploy/operator` and the CRD bring; and who plays kubelet in it. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { loadAll } from "js-yaml";
import type { KubeClient } from "../../../operator/src/kube/client.js";
import { isReason } from "../../../operator/src/kube/error.js";
import { isObject, listAt, objectAt, textAt, type JsonObject } from "../../../operator/src/kube/json.js";
import { kinds, pathOf, type Kind } from "../../../operator/src/kube/kinds.js";
import { conditionOf, type Told } from "../../../operator/src/box/pod-facts.js";
import { hasControlPlane } from "../control-plane.js";
import { projectDirectory } from "../project.js";
import { skipBecause } from "../skip.js";
import { eventually } from "../wait.js";
import { ApiServer } from "./api-server.js";
import { createAll } from "./create-all.js";

let opened: Promise<Bed> | undefined;
let namespaces = 0;

/** The same for whoever asks; skips the test, with why, where there is no control plane. */
export async function operatorBed(test: Mocha.Context): Promise<Bed> {
  if (!hasControlPlane()) skipBecause(test, "needs an API server: npm run setup -- cluster");
  test.timeout(180_000);
  opened ??= Bed.open();
  return await opened;
}

after("the API server of the operator's tests", async () => {
  await (await opened?.catch(() => undefined))?.server.remove();
});

export async function objectsOf(path: string): Promise<readonly JsonObject[]> {
  const all: unknown[] = loadAll(await readFile(join(projectDirectory, path), "utf8"));
  return all.filter(isObject);
}

export class Bed {
  readonly server: ApiServer;

  private constructor(server: ApiServer) {
    this.server = server;
  }

  get admin(): KubeClient {
    return this.server.admin;
  }

  static async open(): Promise<Bed> {
    const server = await ApiServer.start();
    const bed = new Bed(server);
    try {
      await bed.#prepare();
    } catch (thrown) {
      await server.remove();
      throw thrown;
    }
    return bed;
  }

  async #prepare(): Promise<void> {
    const files = ["operator/crds/a3sboxes.yaml", "deploy/operator/namespace.yaml", "deploy/operator/rbac.yaml"];
    for (const file of files) await createAll(this.admin, await objectsOf(file));
    await createAll(this.admin, [runtimeClass("microvm")]);
    await eventually("A3sBoxes are served", 20_000, () => this.admin.get(kinds.box, { namespace: "default" }));
  }

  /** A new one, with the service account that pods have. */
  async namespace(): Promise<string> {
    const name = `n${String((namespaces += 1))}`;
    await createAll(this.admin, [
      { apiVersion: "v1", kind: "Namespace", metadata: { name } },
      { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "default", namespace: name } },
    ]);
    return name;
  }

  async create(object: JsonObject): Promise<void> {
    await createAll(this.admin, [object]);
  }

  async find(kind: Kind, namespace: string, name: string): Promise<JsonObject | undefined> {
    try {
      return await this.admin.get(kind, { namespace, name });
    } catch (thrown) {
      if (isReason(thrown, "NotFound")) return undefined;
      throw thrown;
    }
  }

  async list(kind: Kind, namespace: string): Promise<readonly JsonObject[]> {
    return listAt(await this.admin.get(kind, { namespace }), "items").filter(isObject);
  }

  /** As JSON merge patch; `sub`: "/status". */
  async patch(kind: Kind, namespace: string, name: string, body: JsonObject, sub = ""): Promise<void> {
    const contentType = "application/merge-patch+json";
    await this.admin.ask("PATCH", `${pathOf(kind, { namespace, name })}${sub}`, { body, contentType });
  }

  async remove(kind: Kind, namespace: string, name: string, body: JsonObject = {}): Promise<void> {
    await this.admin.ask("DELETE", pathOf(kind, { namespace, name }), { body });
  }

  /** Waits until a condition of an A3sBox has this reason. */
  async told(namespace: string, name: string, type: string, reason: string, limitMs = 30_000): Promise<Told> {
    let last: Told | undefined;
    try {
      return await eventually(`${type} of ${name} is ${reason}`, limitMs, async () => {
        last = conditionOf(await this.find(kinds.box, namespace, name), type);
        return last?.reason === reason ? last : undefined;
      });
    } catch (thrown) {
      throw new Error(`it is ${JSON.stringify(last)}`, { cause: thrown });
    }
  }

  /** Waits until something is there. */
  async there(kind: Kind, namespace: string, name: string): Promise<JsonObject> {
    return await eventually(`${kind.kind} ${name} is there`, 30_000, () => this.find(kind, namespace, name));
  }

  async gone(kind: Kind, namespace: string, name: string): Promise<void> {
    await eventually(`${kind.kind} ${name} is gone`, 30_000, async () =>
      (await this.find(kind, namespace, name)) === undefined ? true : undefined,
    );
  }

  /** As the scheduler does. */
  async bindPod(namespace: string, name: string, node: string): Promise<void> {
    await this.there(kinds.pod, namespace, name);
    const body = { apiVersion: "v1", kind: "Binding", metadata: { name }, target: { kind: "Node", name: node } };
    await this.admin.ask("POST", `${pathOf(kinds.pod, { namespace, name })}/binding`, { body });
  }

  /** As the scheduler and kubelet do: a pod gets its node, and runs. */
  async runPod(namespace: string, name: string): Promise<void> {
    await this.bindPod(namespace, name, "node-1");
    const conditions = [
      { type: "PodScheduled", status: "True" },
      { type: "Ready", status: "True" },
    ];
    await this.patch(kinds.pod, namespace, name, { status: { phase: "Running", conditions } }, "/status");
  }

  /** As kubelet does when it has ended a pod that was deleted. */
  async endPod(namespace: string, name: string): Promise<void> {
    await eventually(
      `pod ${name} is to end`,
      30_000,
      async () => objectAt(await this.find(kinds.pod, namespace, name), "metadata")?.["deletionTimestamp"],
    );
    await this.remove(kinds.pod, namespace, name, { gracePeriodSeconds: 0 });
  }

  async eventsOf(namespace: string, name: string): Promise<readonly string[]> {
    const events = await this.list(kinds.event, namespace);
    const own = events.filter((event) => textAt(event, "involvedObject", "name") === name);
    return own.map((event) => textAt(event, "reason") ?? "");
  }
}

export function runtimeClass(name: string): JsonObject {
  return { apiVersion: "node.k8s.io/v1", kind: "RuntimeClass", metadata: { name }, handler: "microvm" };
}

/** The least that an A3sBox says. */
export function a3sBox(namespace: string, name: string, spec: JsonObject = {}): JsonObject {
  const { apiVersion, kind } = kinds.box;
  return { apiVersion, kind, metadata: { namespace, name }, spec: { mode: "cri", image: "agent:1", ...spec } };
}
