/**
 * The chart's modes sidecar and daemonset by the commands of their guide pages, with the image of a release: from `helm install`
 * to a command in a microVM, timed. Skipped without what `npm run setup -- cluster` builds, and a release (`A3S_TEST_RELEASE`).
 */
import { mkdtemp, rm } from "node:fs/promises";
import { release as hostRelease, tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { packageVersion } from "../../src/base/version.js";
import { startCluster, type Cluster } from "../support/cluster.js";
import { hasControlPlane } from "../support/control-plane.js";
import { chartDirectory, hasHelm, Helm, noHelm, type Values } from "../support/deploy/helm.js";
import { releaseImage } from "../support/deploy/release-image.js";
import { busyboxSource } from "../support/images.js";
import { nodeAddress } from "../support/node-network.js";
import { pushImage, startRegistry } from "../support/registry.js";
import { skipBecause } from "../support/skip.js";
import { Undo } from "../support/undo.js";
import { eventually, limit } from "../support/wait.js";
import { runtimeClass } from "./objects.js";

const repository = "localhost/a3s-box/runtime";
const tag = packageVersion();
const image = `${repository}:${tag}`;
/** Of kubelet, in these tests. */
const kubeletPort = 20250;
const waits = [
  "/opt/a3s-box/node/bin/node",
  "-e",
  "process.on('SIGTERM', () => process.exit()); setInterval(() => {}, 1e6)",
];

describe("The chart's modes in a cluster", function () {
  this.timeout(limit(400_000));
  const undo = new Undo();
  let cluster: Cluster;
  let helm: Helm;
  let directory = "";
  let base = "";
  const kubectl = (...args: readonly string[]): Promise<string> => cluster.kubectl(...args);

  before(async function () {
    this.timeout(limit(900_000));
    if (!hasHelm()) skipBecause(this, noHelm);
    if (!hasControlPlane()) skipBecause(this, "no control plane: npm run setup -- cluster builds one, in half an hour");
    const release = process.env["A3S_TEST_RELEASE"];
    // Making one asks registries, which nobody reaches from this network namespace.
    if (release === undefined)
      skipBecause(this, "A3S_TEST_RELEASE names no directory of `npm run release -- --out DIR`");
    directory = await mkdtemp(join(tmpdir(), "a3s-m"));
    undo.add(() => rm(directory, { recursive: true, force: true }));
    const runtime = await releaseImage(join(release, `a3s-box-${tag}-linux-amd64.tar.gz`), image);
    cluster = await startCluster({ images: [runtime], authorization: "RBAC" });
    undo.add(() => cluster.remove());
    // What sandboxes are made of comes from a registry, as it does everywhere.
    const registry = await startRegistry({ address: nodeAddress });
    undo.add(() => registry.stop());
    base = (await pushImage(registry.host, "base", "1", await busyboxSource())).reference;
    helm = await Helm.open(cluster.plane.kubeconfig);
    undo.add(() => helm.close());
    await cluster.plane.apply(runtimeClass("native"));
    await cluster.wait("node/node1", "condition=Ready", 240);
    await namespace("a3s");
  });
  afterEach(async function () {
    this.timeout(limit(200_000));
    if (this.currentTest?.state !== "failed") {
      await uninstall();
      return;
    }
    const said = await Promise.all([
      kubectl("get", "pods,events", "-A", "-o", "wide").catch(String),
      kubectl("logs", "-n", "a3s", "-l", "app.kubernetes.io/instance=a3s-box", "--tail=50").catch(String),
      kubectl("logs", "-n", "team-a", "app", "-c", "a3s-box", "--tail=50").catch(String),
    ]);
    process.stderr.write(`${said.join("\n---\n")}\n--- daemon\n${await cluster.daemon.logTail()}\n`);
    await uninstall().catch(() => undefined);
  });
  after(async function () {
    this.timeout(limit(300_000));
    await undo.run();
  });

  const values = (mode: string): Values => ({
    a3sBox: { mode, driver: "qemu" },
    image: { repository, tag },
    kvm: { enabled: false },
    config: {
      image: { plain_http: [base.split("/")[0]] },
      templates: { base: { image: base } },
      sandboxes: { vcpus: 1, memory_mib: 256, network: "none" },
    },
  });
  const install = async (mode: string, more: Values = {}): Promise<void> => {
    const flags = await helm.values({ ...values(mode), ...more });
    await helm.run("install", "a3s-box", chartDirectory, "--namespace", "a3s", ...flags);
  };
  const namespace = async (name: string, ...labels: readonly string[]): Promise<void> => {
    await kubectl("create", "namespace", name);
    await kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=privileged", ...labels);
  };
  const kernelIn = async (where: string): Promise<string> =>
    (
      await kubectl("-n", where, "exec", "app", "-c", "app", "--", "a3s-box", "run", "--rm", "base", "uname", "-r")
    ).trim();
  const uninstall = async (): Promise<void> => {
    await helm.run("uninstall", "a3s-box", "--namespace", "a3s");
    await kubectl("-n", "a3s", "wait", "pods", "--all", "--for=delete", "--timeout=120s");
  };
  const seconds = (sinceMs: number): string => ((performance.now() - sinceMs) / 1000).toFixed(1);

  it("daemonset: from helm install to a command in a microVM, for a pod that has the socket", async () => {
    await namespace("team-b");
    const beganMs = performance.now();
    await install("daemonset", {
      daemonSet: {
        kubelet: {
          url: `https://127.0.0.1:${String(kubeletPort)}`,
          caFile: join(cluster.kubelet.base, "certs/kubelet.crt"),
        },
        socket: { directory: join(directory, "socket") },
      },
      seccomp: { directory: join(cluster.kubelet.base, "root/seccomp") },
    });
    const ready = ["daemonset/a3s-box", "--for=jsonpath={.status.numberReady}=1", "--timeout=170s"];
    await kubectl("-n", "a3s", "wait", ...ready);
    process.stdout.write(`      from helm install to a server on the node: ${seconds(beganMs)} s\n`);
    const container = {
      ...{ name: "app", image, command: waits },
      volumeMounts: [{ name: "a3s", mountPath: "/var/run/a3s" }],
    };
    const spec = {
      ...{ runtimeClassName: "native", terminationGracePeriodSeconds: 2, containers: [container] },
      volumes: [{ name: "a3s", hostPath: { path: join(directory, "socket"), type: "Directory" } }],
    };
    await cluster.plane.apply({ apiVersion: "v1", kind: "Pod", metadata: { name: "app", namespace: "team-b" }, spec });
    await kubectl("-n", "team-b", "wait", "pod/app", "--for=condition=Ready", "--timeout=120s");
    const kernel = await kernelIn("team-b");
    process.stdout.write(`      from helm install to a command in a microVM: ${seconds(beganMs)} s\n`);
    expect(kernel)
      .to.match(/^\d+\.\d+/)
      .and.not.equal(hostRelease());
    await kubectl("delete", "namespace", "team-b");
  });

  it("sidecar: from helm install to a command in a microVM, for an app that asks for nothing", async () => {
    await namespace("team-a", "a3s.dev/inject=enabled");
    const beganMs = performance.now();
    await install("sidecar");
    // The node's usual runtime makes microVMs; a microVM in a microVM is none that anybody wants.
    const overrides = JSON.stringify({ spec: { runtimeClassName: "native", terminationGracePeriodSeconds: 5 } });
    const run = ["run", "app", `--image=${image}`, `--overrides=${overrides}`, "--command", "--", ...waits];
    // The policy is in force a moment after it is there.
    await eventually("pods get a sidecar", 30_000, async () => {
      const args = ["--dry-run=server", "-o", "jsonpath={.spec.initContainers[*].name}"];
      const said = await kubectl("--namespace", "team-a", ...run.slice(0, -waits.length - 2), ...args);
      return said.includes("a3s-box") ? true : undefined;
    });
    await kubectl("--namespace", "team-a", ...run);
    await kubectl("-n", "team-a", "wait", "pod/app", "--for=condition=Ready", "--timeout=170s");
    process.stdout.write(`      from helm install to an app with its sidecar: ${seconds(beganMs)} s\n`);
    const kernel = await kernelIn("team-a");
    process.stdout.write(`      from helm install to a command in a microVM: ${seconds(beganMs)} s\n`);
    expect(kernel)
      .to.match(/^\d+\.\d+/)
      .and.not.equal(hostRelease());
    await kubectl("delete", "namespace", "team-a");
  });
});
