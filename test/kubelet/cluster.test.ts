/**
 * A whole cluster of one node: what its users do with kubectl. The control plane is built by `npm run setup -- cluster`,
 * outside the time of a test run; without it these are skipped.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { z } from "zod";
import { runtime } from "../support/cri-client.js";
import { hasControlPlane } from "../support/control-plane.js";
import { startCluster, type Cluster } from "../support/cluster.js";
import { busyboxImage } from "../support/images.js";
import { expectSameMachine } from "../support/machine.js";
import { nodeAddress } from "../support/node-network.js";
import { eventually, limit } from "../support/wait.js";
import { skipBecause } from "../support/skip.js";
import { container, idle, pod, runtimeClass, shell } from "./objects.js";

const many = Number(process.env["A3S_CLUSTER_PODS"] ?? "30");
const podsSchema = z.object({
  items: z.array(
    z.object({
      metadata: z.object({ creationTimestamp: z.string() }),
      status: z.object({
        conditions: z.array(z.object({ type: z.string(), lastTransitionTime: z.string() })),
        containerStatuses: z.array(z.object({ restartCount: z.number() })),
      }),
    }),
  ),
});

function readySeconds({ metadata, status }: z.infer<typeof podsSchema>["items"][number]): number {
  const ready = status.conditions.find(({ type }) => type === "Ready")?.lastTransitionTime ?? "";
  return (Date.parse(ready) - Date.parse(metadata.creationTimestamp)) / 1000;
}

describe("A cluster of one node", () => {
  let cluster: Cluster;
  let directory: string;
  const kubectl = (...args: readonly string[]): Promise<string> => cluster.kubectl(...args);
  const wait = (what: string, condition: string): Promise<string> => cluster.wait(what, condition);
  /** Sandboxes of pods that users have made. */
  const sandboxes = async (): Promise<number> => {
    const labelSelector = { "io.kubernetes.pod.namespace": "default" };
    return (
      await cluster.daemon.cri.call(runtime.listPodSandbox, { filter: { id: "", state: undefined, labelSelector } })
    ).items.length;
  };

  before(async function () {
    this.timeout(limit(300_000));
    if (!hasControlPlane()) skipBecause(this, "no control plane: npm run setup -- cluster builds one, in half an hour");
    directory = await mkdtemp(join(tmpdir(), "a3s-u"));
    cluster = await startCluster({ config: '[handlers.large]\nmemory_mib = 1024\nannotations = ["memory_mib"]\n' });
  });
  after(async function () {
    this.timeout(limit(180_000));
    await (cluster as Cluster | undefined)?.remove();
    if ((directory as string | undefined) !== undefined) await rm(directory, { recursive: true, force: true });
  });

  it("has a Ready node, which says what runs its pods", async () => {
    await wait("node/node1", "condition=Ready");
    const version = "jsonpath={.status.nodeInfo.containerRuntimeVersion}";
    expect(await kubectl("get", "node", "node1", "-o", version)).to.match(/^a3s-box:\/\/\d/);
  });

  it("runs a Deployment with configuration, secrets and a service account's token, and replaces a deleted pod", async () => {
    const labels = { app: "web" };
    const spec = {
      terminationGracePeriodSeconds: 2,
      containers: [
        {
          ...{
            name: "web",
            ...container,
            command: shell(`echo "$GREETING" > /tmp/index.html; httpd -p 8080 -h /tmp; ${idle}`),
          },
          env: [{ name: "GREETING", valueFrom: { configMapKeyRef: { name: "words", key: "greeting" } } }],
          readinessProbe: { httpGet: { path: "/index.html", port: 8080 }, timeoutSeconds: 30 },
          volumeMounts: [{ name: "all", mountPath: "/all" }],
        },
      ],
      volumes: [
        { name: "all", projected: { sources: [{ configMap: { name: "words" } }, { secret: { name: "keys" } }] } },
      ],
    };
    await cluster.plane.apply(
      { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "words" }, data: { greeting: "hello there" } },
      { apiVersion: "v1", kind: "Secret", metadata: { name: "keys" }, stringData: { key: "hush" } },
      {
        ...{ apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "web" } },
        spec: { replicas: 2, selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
      },
    );
    await wait("deployment/web", "condition=Available");
    const names = async (): Promise<string[]> =>
      (await kubectl("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].metadata.name}")).split(" ");
    const [first = "", second = ""] = await names();
    expect(await kubectl("exec", first, "--", "cat", "/all/greeting", "/all/key")).to.equal("hello therehush");
    const token = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    expect(await kubectl("exec", first, "--", "cat", token)).to.match(/^[\w-]+\.[\w-]+\.[\w-]+$/);
    const ip = await kubectl("get", "pod", second, "-o", "jsonpath={.status.podIP}");
    expect(await kubectl("exec", first, "--", "wget", "-qO-", `http://${ip}:8080/index.html`)).to.equal(
      "hello there\n",
    );
    await kubectl("delete", "pod", first);
    await wait("deployment/web", "condition=Available");
    expect(await names()).to.not.include(first);
    await kubectl("delete", "deployment", "web");
  });

  it("runs a Job to its end", async () => {
    const template = {
      spec: { restartPolicy: "Never", containers: [{ name: "sum", ...container, command: shell("echo $((6 * 7))") }] },
    };
    await cluster.plane.apply({ apiVersion: "batch/v1", kind: "Job", metadata: { name: "sum" }, spec: { template } });
    await wait("job/sum", "condition=Complete");
    expect(await kubectl("logs", "job/sum")).to.equal("42\n");
    await kubectl("delete", "job", "sum");
  });

  it("reaches a Service's pods by its address, from a pod and from the node, and a node port", async () => {
    const labels = { app: "server" };
    const main = {
      name: "main",
      ...container,
      command: shell(`mkdir /www; hostname > /www/name; httpd -p 8080 -h /www; ${idle}`),
    };
    const template = { metadata: { labels }, spec: { terminationGracePeriodSeconds: 2, containers: [main] } };
    await cluster.plane.apply(
      {
        ...{ apiVersion: "apps/v1", kind: "DaemonSet", metadata: { name: "server" } },
        spec: { selector: { matchLabels: labels }, template },
      },
      {
        ...{ apiVersion: "v1", kind: "Service", metadata: { name: "server" } },
        spec: { type: "NodePort", selector: labels, ports: [{ port: 80, targetPort: 8080, nodePort: 30080 }] },
      },
      pod("client", {
        terminationGracePeriodSeconds: 2,
        containers: [{ name: "main", ...container, command: shell(idle) }],
      }),
    );
    await wait("pod/client", "condition=Ready");
    await eventually("the DaemonSet has its pod", 120_000, async () =>
      (await kubectl("get", "daemonset", "server", "-o", "jsonpath={.status.numberReady}")) === "1" ? true : undefined,
    );
    const name = (await kubectl("get", "pods", "-l", "app=server", "-o", "jsonpath={.items[0].metadata.name}")).trim();
    const address = await kubectl("get", "service", "server", "-o", "jsonpath={.spec.clusterIP}");
    await eventually("the service answers a pod", 60_000, async () => {
      expect(await kubectl("exec", "client", "--", "wget", "-qO-", "-T", "5", `http://${address}/name`)).to.equal(
        `${name}\n`,
      );
      return true;
    });
    for (const url of [`http://${address}/name`, `http://${nodeAddress}:30080/name`]) {
      expect(await (await fetch(url, { signal: AbortSignal.timeout(limit(10_000)) })).text(), url).to.equal(
        `${name}\n`,
      );
    }
    await kubectl("delete", "daemonset/server", "service/server", "pod/client", "--wait=false");
  });

  it(`brings ${many} pods of a Deployment up at once, none restarted, and takes all down at once, with nothing left`, async function () {
    this.timeout(limit(1_800_000));
    await eventually("earlier pods have gone", 180_000, async () =>
      (await kubectl("get", "pods", "-o", "name")).trim() === "" ? true : undefined,
    );
    await eventually("the daemon has none either", 120_000, async () => ((await sandboxes()) === 0 ? true : undefined));
    const before = await cluster.daemon.machine();
    const labels = { app: "many" };
    const main = { name: "main", ...container, resources: { requests: { cpu: "10m" } }, command: ["sleep", "86400"] };
    const template = { metadata: { labels }, spec: { terminationGracePeriodSeconds: 0, containers: [main] } };
    await cluster.plane.apply({
      ...{ apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "many" } },
      spec: { replicas: many, selector: { matchLabels: labels }, template, progressDeadlineSeconds: 1_800 },
    });
    const readyReplicas = "jsonpath={.status.readyReplicas}";
    await eventually(`${many} pods are ready`, 1_500_000, async () =>
      (await kubectl("get", "deployment", "many", "-o", readyReplicas)) === String(many) ? true : undefined,
    );
    const { items } = podsSchema.parse(JSON.parse(await kubectl("get", "pods", "-l", "app=many", "-o", "json")));
    expect(items).to.have.lengthOf(many);
    for (const { status } of items) expect(status.containerStatuses[0]?.restartCount).to.equal(0);
    const seconds = items.map(readySeconds).sort((a, b) => a - b);
    const at = (share: number): string => `${(seconds[Math.ceil(share * many) - 1] ?? 0).toFixed(0)} s`;
    process.stdout.write(`      from create to Ready: p50 ${at(0.5)}, p99 ${at(0.99)}\n`);
    const deletedMs = performance.now();
    await kubectl("delete", "deployment", "many", "--wait=false");
    await eventually("all pods are gone", 900_000, async () => ((await sandboxes()) === 0 ? true : undefined));
    process.stdout.write(`      all gone after ${((performance.now() - deletedMs) / 1000).toFixed(0)} s\n`);
    await expectSameMachine(cluster.daemon.scope, before, 60_000);
    expect(await cluster.node.reserved()).to.deep.equal([]);
  });

  describe("with a pod", () => {
    before(async function () {
      this.timeout(limit(300_000));
      const main = { name: "main", ...container, command: shell(`echo started; httpd -p 8080 -h /etc; ${idle}`) };
      const volumeMounts = [{ name: "notes", mountPath: "/notes" }];
      const reader = { name: "reader", ...container, stdin: true, command: ["cat"], volumeMounts };
      const amounts = { cpu: "200m", memory: "64Mi" };
      const limited = { name: "limited", ...container, resources: { limits: amounts }, command: shell(idle) };
      await cluster.plane.apply(
        { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "notes" }, data: { note: "old" } },
        pod("one", {
          containers: [main, reader, limited],
          volumes: [{ name: "notes", configMap: { name: "notes" } }],
        }),
      );
      await wait("pod/one", "condition=Ready");
    });

    it("logs, and follows them", async () => {
      expect(await kubectl("logs", "one", "-c", "main")).to.equal("started\n");
      const following = cluster.plane.spawnKubectl("logs", "-f", "one", "-c", "reader");
      const attached = cluster.plane.spawnKubectl("attach", "-i", "one", "-c", "reader");
      try {
        let out = "";
        following.stdout?.on("data", (chunk: Buffer) => (out += chunk.toString()));
        attached.stdin?.write("printed later\n");
        await eventually("the line comes", 60_000, () => (out === "printed later\n" ? true : undefined));
      } finally {
        for (const child of [following, attached]) child.kill("SIGKILL");
      }
    });

    it("sees a ConfigMap change in its volume", async () => {
      await kubectl("patch", "configmap", "notes", "--patch", JSON.stringify({ data: { note: "new" } }));
      await eventually("it reads what is new", 150_000, async () =>
        (await kubectl("exec", "one", "-c", "reader", "--", "cat", "/notes/note")) === "new" ? true : undefined,
      );
    });

    it("has figures in the node's summary", async () => {
      const summarySchema = z.object({
        pods: z.array(
          z.looseObject({
            podRef: z.looseObject({ name: z.string() }),
            containers: z.array(
              z.looseObject({
                name: z.string(),
                cpu: z.looseObject({ usageCoreNanoSeconds: z.number().positive() }),
                memory: z.looseObject({ workingSetBytes: z.number().positive() }),
                rootfs: z.looseObject({ usedBytes: z.number() }),
                logs: z.looseObject({ usedBytes: z.number() }),
              }),
            ),
          }),
        ),
      });
      await eventually("all containers of the pod are there", 90_000, async () => {
        const { pods } = summarySchema.parse(
          JSON.parse(await kubectl("get", "--raw", "/api/v1/nodes/node1/proxy/stats/summary")),
        );
        const one = pods.find(({ podRef }) => podRef.name === "one");
        expect(one?.containers.map(({ name }) => name)).to.have.members(["main", "reader", "limited"]);
        return true;
      });
    });

    for (const websockets of ["true", "false"]) {
      it(`exec with input, output and exit code (WebSocket: ${websockets})`, async () => {
        process.env["KUBECTL_REMOTE_COMMAND_WEBSOCKETS"] = websockets;
        try {
          const args = ["exec", "-i", "one", "-c", "main", "--", "sh", "-c", "tr a-z A-Z; exit 5"];
          const failed = await cluster.plane.kubectlWith("shout\n", ...args).then(
            () => undefined,
            (thrown: unknown) => thrown,
          );
          expect(failed).to.include({ code: 5, stdout: "SHOUT\n" });
        } finally {
          delete process.env["KUBECTL_REMOTE_COMMAND_WEBSOCKETS"];
        }
      });
    }

    it("attach: what is typed comes back", async () => {
      const attached = cluster.plane.spawnKubectl("attach", "-i", "one", "-c", "reader");
      let out = "";
      attached.stdout?.on("data", (chunk: Buffer) => (out += chunk.toString()));
      attached.stdin?.write("typed\n");
      await eventually("it comes back", 60_000, () => (out.includes("typed\n") ? true : undefined));
      attached.kill("SIGKILL");
    });

    it("cp, there and back", async () => {
      const local = join(directory, "file");
      await writeFile(local, "x".repeat(300_000));
      await kubectl("cp", local, "one:/tmp/file", "-c", "main");
      await kubectl("cp", "one:/tmp/file", `${local}.back`, "-c", "main");
      expect(await readFile(`${local}.back`, "utf8")).to.equal("x".repeat(300_000));
    });

    it("port-forward", async () => {
      const forward = cluster.plane.spawnKubectl("port-forward", "pod/one", "18081:8080");
      try {
        const text = await eventually("it answers", 60_000, async () =>
          (await fetch("http://127.0.0.1:18081/passwd")).text(),
        );
        expect(text).to.match(/^root:/);
      } finally {
        forward.kill("SIGKILL");
      }
    });

    it("an ephemeral container, which sees the container that it debugs", async () => {
      const debug = [
        "debug",
        "one",
        "--image",
        busyboxImage,
        "--image-pull-policy=Never",
        "--target=main",
        "-c",
        "look",
      ];
      await kubectl(...debug, "--profile=general", "--", "sh", "-c", "ps | grep -q [h]ttpd && echo found; sleep 1");
      const state = "jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.exitCode}";
      await eventually("it has ended", 120_000, async () =>
        (await kubectl("get", "pod", "one", "-o", state)) === "0" ? true : undefined,
      );
      expect(await kubectl("logs", "one", "-c", "look")).to.equal("found\n");
    });

    it("is resized in place", async () => {
      const resources = { requests: { cpu: "150m" } };
      const limits = { cpu: "300m", memory: "96Mi" };
      const patch = {
        spec: {
          containers: [
            { name: "main", resources },
            { name: "limited", resources: { limits } },
          ],
        },
      };
      await kubectl("patch", "pod", "one", "--subresource", "resize", "--patch", JSON.stringify(patch));
      const allocated = 'jsonpath={.status.containerStatuses[?(@.name=="main")].resources.requests.cpu}';
      await eventually("the new request is in its status", 120_000, async () =>
        (await kubectl("get", "pod", "one", "-o", allocated)) === "150m" ? true : undefined,
      );
      const restarts = "jsonpath={.status.containerStatuses[*].restartCount}";
      await eventually("the new limits hold in the container", 60_000, async () => {
        const files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/cpu.max"];
        const now = await kubectl("exec", "one", "-c", "limited", "--", "cat", ...files);
        expect(now).to.equal(`${String(96 << 20)}\n30000 100000\n`);
        return true;
      });
      expect(await kubectl("get", "pod", "one", "-o", restarts)).to.equal("0 0 0");
    });

    after(async () => {
      await kubectl("delete", "pod/one", "configmap/notes", "--wait=false");
    });
  });

  it("takes the handler of a pod's RuntimeClass, with what the handler allows", async () => {
    const main = { name: "main", ...container, command: shell(`grep MemTotal /proc/meminfo; ${idle}`) };
    const spec = { runtimeClassName: "large", terminationGracePeriodSeconds: 2, containers: [main] };
    const big = pod("big", spec);
    const annotations = { "a3s-box/memory-mib": "1536" };
    await cluster.plane.apply(...[runtimeClass("large"), runtimeClass("microvm"), big], {
      ...big,
      metadata: { name: "bigger", annotations },
    });
    for (const [name, mib] of [
      ["big", 1024],
      ["bigger", 1536],
    ] as const) {
      await wait(`pod/${name}`, "condition=Ready");
      const kib = await eventually("it has said how much it has", 60_000, async () => {
        const said = /\d+/.exec(await kubectl("logs", name))?.[0];
        return said === undefined ? undefined : Number(said);
      });
      expect(kib / 1024).to.be.within(mib * 0.85, mib);
    }
    await kubectl("delete", "pod", "big", "bigger", "--wait=false");
  });
});
