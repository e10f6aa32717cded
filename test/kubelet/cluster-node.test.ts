/**
 * What a node of a cluster does by itself: pods on the host beside those in Boxes, evictions, collection of what is dead,
 * and its own restart. The control plane is built by `npm run setup -- cluster`; without it these are skipped.
 */
import { release } from "node:os";
import { expect } from "chai";
import { z } from "zod";
import { runtime } from "../support/cri-client.js";
import { hasControlPlane } from "../support/control-plane.js";
import { startCluster, type Cluster } from "../support/cluster.js";
import { nodeAddress } from "../support/node-network.js";
import { skipBecause } from "../support/skip.js";
import { eventually, limit } from "../support/wait.js";
import { container, idle, pod, runtimeClass, shell } from "./objects.js";

const mib = 1 << 20;
const diskBytes = 768 * mib;
const statusSchema = z.object({
  status: z.looseObject({
    phase: z.string(),
    reason: z.string().default(""),
    message: z.string().default(""),
    containerStatuses: z
      .array(z.looseObject({ restartCount: z.number(), containerID: z.string().default("") }))
      .default([]),
  }),
});
type Status = z.infer<typeof statusSchema>["status"];

describe("A node of a cluster", () => {
  let cluster: Cluster;
  const kubectl = (...args: readonly string[]): Promise<string> => cluster.kubectl(...args);
  const statusOf = async (name: string): Promise<Status> =>
    statusSchema.parse(JSON.parse(await kubectl("get", "pod", name, "-o", "json"))).status;
  /** How many containers of the pod the runtime has, dead ones too. */
  const containersOf = async (name: string): Promise<number> => {
    const filter = { id: "", state: undefined, podSandboxId: "", labelSelector: { "io.kubernetes.pod.name": name } };
    return (await cluster.daemon.cri.call(runtime.listContainers, { filter })).containers.length;
  };

  before(async function () {
    this.timeout(limit(400_000));
    if (!hasControlPlane()) skipBecause(this, "no control plane: npm run setup -- cluster builds one, in half an hour");
    cluster = await startCluster({
      diskBytes,
      kubelet: {
        // The disk of images and containers is the test's own, and this much of it is to stay free.
        evictionHard: { "imagefs.available": "300Mi", "memory.available": "0%", "nodefs.available": "0%" },
        evictionPressureTransitionPeriod: "5s",
        volumeStatsAggPeriod: "5s",
      },
    });
    await cluster.plane.apply(runtimeClass("microvm"), runtimeClass("native"));
    await cluster.wait("node/node1", "condition=Ready");
  });
  after(async function () {
    this.timeout(limit(240_000));
    await (cluster as Cluster | undefined)?.remove();
  });
  afterEach(async function () {
    if (this.currentTest?.state !== "failed") return;
    process.stderr.write(
      `--- kubelet\n${await cluster.kubelet.logTail()}\n--- daemon\n${await cluster.daemon.logTail()}\n`,
    );
  });

  describe("with pods of both handlers", () => {
    before(async function () {
      this.timeout(limit(300_000));
      const main = { name: "main", ...container, command: shell(`uname -r; httpd -p 8080 -h /etc; ${idle}`) };
      const of = (name: string) => pod(name, { runtimeClassName: name, containers: [main] });
      const host = { ...main, securityContext: { privileged: true }, command: shell(`uname -r; ${idle}`) };
      await cluster.plane.apply(
        of("microvm"),
        of("native"),
        pod("host", { hostNetwork: true, hostPID: true, containers: [host] }),
      );
      for (const name of ["microvm", "native", "host"]) await cluster.wait(`pod/${name}`, "condition=Ready");
    });
    after(async function () {
      this.timeout(limit(240_000));
      await kubectl("delete", "pod", "microvm", "native", "host");
    });

    it("runs one on a kernel of its own and the others on the node's", async () => {
      const kernel = async (name: string): Promise<string> => (await kubectl("logs", name)).trim();
      expect(await kernel("native")).to.equal(release());
      expect(await kernel("host")).to.equal(release());
      expect(await kernel("microvm")).to.not.equal(release());
    });

    it("lets them reach each other, and gives the one that asks the node's network and processes", async () => {
      const address = (name: string): Promise<string> => kubectl("get", "pod", name, "-o", "jsonpath={.status.podIP}");
      for (const [from, to] of [
        ["microvm", "native"],
        ["native", "microvm"],
        ["host", "microvm"],
      ] as const) {
        const url = `http://${await address(to)}:8080/passwd`;
        expect(await kubectl("exec", from, "--", "wget", "-qO-", "-T", "10", url), `${from} to ${to}`).to.match(
          /^root:/,
        );
      }
      expect(await address("host")).to.equal(nodeAddress);
      expect(await kubectl("exec", "host", "--", "ps")).to.contain("kube-apiserver");
    });

    it("serves exec with input and exit code, and figures, for each", async () => {
      for (const name of ["microvm", "native", "host"]) {
        const args = ["exec", "-i", name, "--", "sh", "-c", "tr a-z A-Z; exit 5"];
        const failed = await cluster.plane.kubectlWith("shout\n", ...args).then(
          () => undefined,
          (thrown: unknown) => thrown,
        );
        expect(failed, name).to.include({ code: 5, stdout: "SHOUT\n" });
      }
      await eventually("each has figures", 90_000, async () => {
        const figures = await kubectl("get", "--raw", "/api/v1/nodes/node1/proxy/metrics/resource");
        for (const name of ["microvm", "native", "host"]) {
          expect(figures).to.match(
            new RegExp(`^container_memory_working_set_bytes\\{container="main".*pod="${name}"\\} [1-9]`, "m"),
          );
        }
        return true;
      });
    });
  });

  describe("evicts", function () {
    this.timeout(limit(400_000));
    const fill = (path: string, count: number): string[] =>
      // It is killed in the end: a pod whose containers succeed at their end has not failed, evicted or not.
      shell(`dd if=/dev/zero of=${path} bs=1M count=${String(count)}; exec sleep 3600`);
    const evicted = async (name: string): Promise<Status> =>
      await eventually(`${name} is evicted`, 240_000, async () => {
        const status = await statusOf(name);
        if (status.phase === "Failed") return status;
        throw new Error(JSON.stringify(status));
      });

    it("a pod whose container writes more than its limit of ephemeral storage, on either handler", async () => {
      const resources = { ...container.resources, limits: { "ephemeral-storage": "16Mi" } };
      const writer = { name: "main", ...container, resources, command: fill("/big", 40) };
      for (const handler of ["microvm", "native"]) {
        const name = `writer-${handler}`;
        await cluster.plane.apply(pod(name, { runtimeClassName: handler, containers: [writer] }));
      }
      for (const name of ["writer-microvm", "writer-native"]) {
        const { reason, message } = await evicted(name);
        expect(reason, name).to.equal("Evicted");
        expect(message, name).to.match(/ephemeral local storage usage exceeds the total limit of containers 16Mi/);
      }
      await kubectl("delete", "pod", "writer-microvm", "writer-native");
    });

    it("a pod whose emptyDir grows past its limit", async () => {
      const volumeMounts = [{ name: "work", mountPath: "/data" }];
      const writer = { name: "main", ...container, command: fill("/data/big", 40), volumeMounts };
      const volumes = [{ name: "work", emptyDir: { sizeLimit: "16Mi" } }];
      await cluster.plane.apply(pod("heaper", { containers: [writer], volumes }));
      const { reason, message } = await evicted("heaper");
      expect(reason).to.equal("Evicted");
      expect(message).to.match(/EmptyDir volume "work" exceeds the limit "16Mi"/);
      await kubectl("delete", "pod", "heaper");
    });

    it("the pod that fills the disk with its root, and no other", async () => {
      const quiet = { name: "main", ...container, command: shell(idle) };
      await cluster.plane.apply(pod("neighbour", { containers: [quiet] }));
      await cluster.wait("pod/neighbour", "condition=Ready");
      const [before] = (await statusOf("neighbour")).containerStatuses;
      await cluster.plane.apply(pod("filler", { containers: [{ ...quiet, command: fill("/big", 2_000) }] }));
      const { reason, message } = await evicted("filler");
      expect(reason).to.equal("Evicted");
      expect(message).to.match(/The node was low on resource: ephemeral-storage/);
      await cluster.wait("node/node1", "condition=DiskPressure=False");
      const { phase, containerStatuses } = await statusOf("neighbour");
      expect(phase).to.equal("Running");
      expect(containerStatuses[0]).to.deep.include({ restartCount: 0, containerID: before?.containerID });
      await eventually("there is room again", 60_000, async () => {
        const write = "dd if=/dev/zero of=/file bs=1M count=320 && rm /file && echo room";
        expect(await kubectl("exec", "neighbour", "--", "sh", "-c", write)).to.equal("room\n");
        return true;
      });
      await kubectl("delete", "pod", "filler", "neighbour");
    });
  });

  it("collects the dead containers of a pod that is started again and again, but for the last", async function () {
    this.timeout(limit(400_000));
    await cluster.plane.apply(
      pod("crash", { containers: [{ name: "main", ...container, command: shell("echo a try; exit 3") }] }),
    );
    await eventually("it has been started four times", 240_000, async () =>
      ((await statusOf("crash")).containerStatuses[0]?.restartCount ?? 0) >= 3 ? true : undefined,
    );
    await eventually("the last one is left, and one that may run", 120_000, async () =>
      (await containersOf("crash")) <= 2 ? true : undefined,
    );
    // between two starts the API server still names the one that was collected
    await eventually("the last one's log is there", 60_000, async () =>
      (await kubectl("logs", "crash", "--previous")) === "a try\n" ? true : undefined,
    );
    await kubectl("delete", "pod", "crash");
    await eventually("nothing of the pod is left", 120_000, async () =>
      (await containersOf("crash")) === 0 ? true : undefined,
    );
  });

  it("brings all pods back after its own restart, system pods first and last", async function () {
    this.timeout(limit(600_000));
    const labels = { app: "web" };
    const main = { name: "main", ...container, command: shell(`httpd -p 8080 -h /etc; ${idle}`) };
    const template = { metadata: { labels }, spec: { terminationGracePeriodSeconds: 2, containers: [main] } };
    await cluster.plane.apply(
      {
        ...{ apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "web" } },
        spec: { replicas: 2, selector: { matchLabels: labels }, template },
      },
      {
        ...{ apiVersion: "v1", kind: "Service", metadata: { name: "web" } },
        spec: { selector: labels, ports: [{ port: 80, targetPort: 8080 }] },
      },
    );
    await cluster.wait("deployment/web", "condition=Available");
    const names = (): Promise<string> =>
      kubectl("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].metadata.name}");
    const before = await names();
    const service = `http://${await kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")}/passwd`;
    const ask = async (): Promise<string> =>
      await (await fetch(service, { signal: AbortSignal.timeout(limit(10_000)) })).text();
    await eventually("the service answers", 60_000, async () => ((await ask()).startsWith("root:") ? true : undefined));

    await cluster.kubelet.stop();
    await cluster.daemon.reboot();
    await cluster.kubelet.unmount();
    for (const what of ["-F", "-X"]) await cluster.node.run("iptables", "-t", "nat", what);
    const answers = await ask().then(
      () => true,
      () => false,
    );
    expect(answers).to.equal(false);

    await cluster.kubelet.launch();
    await eventually("the service answers again", 300_000, async () =>
      (await ask()).startsWith("root:") ? true : undefined,
    );
    await eventually("both replicas are ready", 240_000, async () =>
      (await kubectl("get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}")) === "2" ? true : undefined,
    );
    expect(await names()).to.equal(before);
    for (const name of before.split(" ")) {
      expect(await kubectl("exec", name, "--", "echo", "alive")).to.equal("alive\n");
      const [first] = (await statusOf(name)).containerStatuses;
      expect(first?.restartCount, name).to.equal(1);
    }
    await kubectl("delete", "deployment/web", "service/web");
  });
});
