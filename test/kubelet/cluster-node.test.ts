/**
 * What a node of a cluster does by itself: pods on the host beside those in Boxes, evictions, collection of what is dead,
 * and its own restart. The control plane is built by `npm run setup -- cluster`; without it these are skipped.
 */
import { chmod, chown, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { release, tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { z } from "zod";
import { runtime } from "../support/cri-client.js";
import { busyboxImage } from "../support/images.js";
import { hasControlPlane } from "../support/control-plane.js";
import { startCluster, type Cluster } from "../support/cluster.js";
import { nodeAddress } from "../support/node-network.js";
import { skipBecause } from "../support/skip.js";
import { eventually, limit } from "../support/wait.js";
import { container, idle, pod, runtimeClass, shell } from "./objects.js";
import { usersDirectory, usersPod, usersVolumes } from "./pods.js";

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
/** What kubelet notes of a pod's ids in its directory. */
const notedSchema = z.object({ uidMappings: z.tuple([z.object({ hostId: z.number() })]) });
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

  describe("with pods of both handlers that have user ids of their own", () => {
    const handlers = ["microvm", "native"] as const;
    const name = (handler: string): string => `users-${handler}`;
    const inside = (handler: string, line: string, inContainer = "users"): Promise<string> =>
      kubectl("exec", name(handler), "-c", inContainer, "--", "sh", "-c", line);
    const uids = (handler: string): Promise<string> => inside(handler, "tr -s ' ' </proc/self/uid_map");
    let directory: string;
    before(async function () {
      this.timeout(limit(300_000));
      directory = await mkdtemp(join(tmpdir(), "a3s-h"));
      const owned = join(directory, "host", usersDirectory);
      await mkdir(owned, { recursive: true });
      await chmod(owned, 0o777);
      await writeFile(join(owned, "theirs"), "theirs\n", { mode: 0o640 });
      await chown(join(owned, "theirs"), 7, 8);
      const volumes = [
        { name: "notes", configMap: { name: "users-notes" } },
        { name: "secret", secret: { secretName: "users-secret", defaultMode: 0o400 } },
      ];
      await cluster.plane.apply(
        { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "users-notes" }, data: { note: "old" } },
        { apiVersion: "v1", kind: "Secret", metadata: { name: "users-secret" }, stringData: { key: "hidden" } },
        ...handlers.map((one) => pod(name(one), { runtimeClassName: one, ...usersPod(directory, volumes) })),
      );
      for (const one of handlers) await cluster.wait(`pod/${name(one)}`, "condition=Ready");
    });
    after("they go, and leave nothing", async function () {
      this.timeout(limit(240_000));
      await kubectl("delete", "pod", ...handlers.map(name));
      for (const one of handlers)
        await eventually("it has gone", 60_000, async () => (await containersOf(name(one))) === 0 || undefined);
      await rm(directory, { recursive: true });
    });

    it("gives each the ids that kubelet has noted, and keeps them when the runtime and kubelet come back", async () => {
      const noted = async (handler: string): Promise<string> => {
        const uid = await kubectl("get", "pod", name(handler), "-o", "jsonpath={.metadata.uid}");
        const { uidMappings } = notedSchema.parse(
          JSON.parse(await readFile(join(cluster.kubelet.base, "root/pods", uid, "userns"), "utf8")),
        );
        return ` 0 ${uidMappings[0].hostId} 65536\n`;
      };
      const given = await Promise.all(handlers.map(noted));
      expect(new Set(given).size).to.equal(handlers.length);
      for (const [at, handler] of handlers.entries()) expect(await uids(handler)).to.equal(given[at]);
      await cluster.daemon.stop("SIGKILL");
      await cluster.daemon.launch();
      await cluster.kubelet.stop();
      await cluster.kubelet.launch();
      for (const [at, handler] of handlers.entries()) {
        const again = await eventually("it is reached again", 90_000, () => uids(handler));
        expect(again).to.equal(given[at]);
        const restarts = (await statusOf(name(handler))).containerStatuses.map(({ restartCount }) => restartCount);
        expect(restarts).to.deep.equal([0, 0]);
      }
    });

    for (const handler of handlers) {
      describe(handler, () => {
        it("shows the owners of volumes, ConfigMap, Secret and token as they are on the node", async () => {
          expect(await inside(handler, usersVolumes.line)).to.equal(usersVolumes.told(name(handler)));
          const token = "/var/run/secrets/kubernetes.io/serviceaccount/token";
          const line = `stat -Lc '%u %g' /notes/note /secret/key ${token}; cat /secret/key; test -s /notes/note && test -s ${token}`;
          for (const one of ["users", "other"]) {
            expect(await inside(handler, line, one)).to.equal("0 2000\n0 2000\n0 2000\nhidden");
          }
          await inside(handler, "echo x > /owned/$(id -u)", "other");
          const made = join(directory, "host", usersDirectory, "1000");
          expect((await stat(made)).uid).to.equal(1000);
          await rm(made);
        });

        it("serves logs, exec, attach, cp and port-forward", async () => {
          expect(await kubectl("logs", name(handler), "-c", "other")).to.equal("as 1000\n");
          const args = ["exec", "-i", name(handler), "-c", "users", "--", "sh", "-c", "tr a-z A-Z; exit 5"];
          const failed = await cluster.plane.kubectlWith("shout\n", ...args).then(
            () => undefined,
            (thrown: unknown) => thrown,
          );
          expect(failed).to.include({ code: 5, stdout: "SHOUT\n" });

          const attached = cluster.plane.spawnKubectl("attach", "-i", name(handler), "-c", "other");
          let out = "";
          attached.stdout?.on("data", (chunk: Buffer) => (out += chunk.toString()));
          attached.stdin?.write("typed\n");
          await eventually("it comes back", 60_000, () => (out.includes("typed\n") ? true : undefined)).finally(() => {
            attached.kill("SIGKILL");
          });

          const local = join(directory, "file");
          await writeFile(local, "x".repeat(300_000));
          await kubectl("cp", local, `${name(handler)}:/shared/file`, "-c", "other");
          expect(await inside(handler, "stat -c %u /shared/file")).to.equal("1000\n");
          await kubectl("cp", `${name(handler)}:/shared/file`, `${local}.back`, "-c", "users");
          expect(await readFile(`${local}.back`, "utf8")).to.equal("x".repeat(300_000));

          const forward = cluster.plane.spawnKubectl("port-forward", `pod/${name(handler)}`, "18082:8080");
          try {
            const url = "http://127.0.0.1:18082/first";
            const text = await eventually("it answers", 60_000, async () => (await fetch(url)).text());
            expect(text).to.equal("first\n");
          } finally {
            forward.kill("SIGKILL");
          }
        });

        it("takes an ephemeral container, which has the pod's ids", async () => {
          const debug = ["debug", name(handler), "--image", busyboxImage, "--image-pull-policy=Never", "-c", "look"];
          await kubectl(...debug, "--profile=general", "--", "cat", "/proc/self/uid_map");
          const state = "jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.exitCode}";
          await eventually("it has ended", 120_000, async () =>
            (await kubectl("get", "pod", name(handler), "-o", state)) === "0" ? true : undefined,
          );
          const seen = await kubectl("logs", name(handler), "-c", "look");
          expect(seen.replaceAll(/ +/g, " ")).to.equal(await uids(handler));
        });
      });
    }

    it("sees a ConfigMap change, in a Box and on the host", async function () {
      this.timeout(limit(200_000));
      await kubectl("patch", "configmap", "users-notes", "--patch", JSON.stringify({ data: { note: "new" } }));
      for (const handler of handlers) {
        await eventually("it reads what is new", 150_000, async () =>
          (await inside(handler, "cat /notes/note; stat -Lc ' %g' /notes/note", "other")) === "new 2000\n"
            ? true
            : undefined,
        );
      }
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
