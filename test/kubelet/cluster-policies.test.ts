/**
 * NetworkPolicies between pods in microVMs, as a CNI's controller enforces them on the node: the runtime has no part in it but
 * that packets of a Box leave by the pod's own link. Skipped without what `npm run setup -- cluster` builds.
 */
import { expect } from "chai";
import { startCluster, type Cluster } from "../support/cluster.js";
import { hasControlPlane } from "../support/control-plane.js";
import { hasKubeRouter, KubeRouter } from "../support/kube-router.js";
import { skipBecause } from "../support/skip.js";
import { Undo } from "../support/undo.js";
import { eventually, limit } from "../support/wait.js";
import { container, idle, pod, shell } from "./objects.js";

const clients = ["friend", "stranger"] as const;
type Client = (typeof clients)[number];

describe("NetworkPolicies in a cluster", function () {
  this.timeout(limit(180_000));
  const undo = new Undo();
  let cluster: Cluster;
  let router: KubeRouter;
  let address = "";

  before(async function () {
    this.timeout(limit(400_000));
    if (!hasControlPlane()) skipBecause(this, "no control plane: npm run setup -- cluster builds one, in half an hour");
    if (!hasKubeRouter()) skipBecause(this, "no kube-router: npm run setup -- cluster builds it");
    cluster = await startCluster();
    undo.add(() => cluster.remove());
    router = KubeRouter.start(cluster.plane);
    undo.add(() => router.remove());
    const labelled = (name: string, command: string): object => {
      const made = pod(name, { containers: [{ name: "main", ...container, command: shell(command) }] });
      return { ...made, metadata: { ...made.metadata, labels: { who: name } } };
    };
    await cluster.plane.apply(
      labelled(
        "server",
        `mkdir /www; echo served > /www/index.html; httpd -p 8080 -h /www; httpd -p 9090 -h /www; ${idle}`,
      ),
      ...clients.map((name) => labelled(name, idle)),
    );
    for (const name of ["server", ...clients]) await cluster.wait(`pod/${name}`, "condition=Ready");
    address = await cluster.kubectl("get", "pod", "server", "-o", "jsonpath={.status.podIP}");
  });
  afterEach(async function () {
    if (this.currentTest?.state === "failed") process.stderr.write(`--- kube-router\n${await router.logTail()}\n`);
    await (cluster as Cluster | undefined)?.kubectl("delete", "networkpolicies", "--all");
  });
  after(async function () {
    this.timeout(limit(240_000));
    await undo.run();
  });

  const reaches = async (from: Client, port: number): Promise<boolean> => {
    const line = `wget -q -O - -T 3 http://${address}:${String(port)}/index.html || echo closed`;
    return (await cluster.kubectl("exec", from, "--", "sh", "-c", line)).includes("served");
  };
  /** Who comes through, once all of it is as it is expected to be. */
  const expectOpen = async (wanted: Readonly<Record<Client, readonly number[]>>): Promise<void> => {
    await eventually("the policy is in force", 60_000, async () => {
      for (const client of clients) {
        for (const port of [8080, 9090]) {
          expect(await reaches(client, port), `${client} at ${String(port)}`).to.equal(wanted[client].includes(port));
        }
      }
      return true;
    });
  };
  const policy = (name: string, who: string, spec: object): object => ({
    ...{ apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata: { name } },
    spec: { podSelector: { matchLabels: { who } }, ...spec },
  });

  it("are open without a policy", async () => {
    await expectOpen({ friend: [8080, 9090], stranger: [8080, 9090] });
  });

  it("keep everybody from a pod that lets nobody in, and let all in again when they go", async () => {
    await cluster.plane.apply(policy("nobody", "server", { policyTypes: ["Ingress"] }));
    await expectOpen({ friend: [], stranger: [] });
    await cluster.kubectl("delete", "networkpolicy", "nobody");
    await expectOpen({ friend: [8080, 9090], stranger: [8080, 9090] });
  });

  it("let in whoever has the label, at the port that is named", async () => {
    const from = [{ podSelector: { matchLabels: { who: "friend" } } }];
    const ingress = [{ from, ports: [{ protocol: "TCP", port: 8080 }] }];
    await cluster.plane.apply(policy("friends", "server", { policyTypes: ["Ingress"], ingress }));
    await expectOpen({ friend: [8080], stranger: [] });
  });

  it("keep a pod from going out, as an A3sBox with egress None", async () => {
    await cluster.plane.apply(policy("shut-in", "stranger", { policyTypes: ["Ingress", "Egress"] }));
    await expectOpen({ friend: [8080, 9090], stranger: [] });
  });
});
