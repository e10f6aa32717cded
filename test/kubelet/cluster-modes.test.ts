/**
 * The chart's modes sidecar and daemonset by the commands of their guide pages, with the image of a release: from `helm install`
 * to a command in a microVM, timed; then what an upgrade, kubelet's restart and a user namespace do to them. Skipped without what
 * `npm run setup -- cluster` builds, and a release (`A3S_TEST_RELEASE`).
 */
import { mkdtemp, rm } from "node:fs/promises";
import { release as hostRelease, tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { packageVersion } from "../../src/base/version.js";
import { startCluster, type Cluster } from "../support/cluster.js";
import { hasControlPlane } from "../support/control-plane.js";
import { chartDirectory, hasHelm, Helm, noHelm, type Values } from "../support/deploy/helm.js";
import { untilEmptied } from "../support/deploy/until-emptied.js";
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

/** After an uninstall nothing is left on the node any more: over what a pod takes to be replaced. */
const unservedSeconds = 60;
/** Boxes at work while the DaemonSet is updated, half of them of each namespace. */
const boxes = Number(process.env["A3S_TEST_MODE_BOXES"] ?? "4");
/** Seldom: each line is a program more of an emulated processor, and twenty of these Boxes share the machine's. */
const counting = "i=0; while :; do i=$((i+1)); echo $i; sleep 2; done";

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
    undo.add(nothingOnNode);
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

  const config = (sandboxes: Values = {}): Values => ({
    image: { plain_http: [base.split("/")[0]] },
    templates: { base: { image: base } },
    sandboxes: { vcpus: 1, memory_mib: 256, network: "none", ...sandboxes },
  });
  const install = async (mode: string, more: Values = {}): Promise<void> => {
    const common = { a3sBox: { mode, driver: "qemu" }, image: { repository, tag }, kvm: { enabled: false } };
    const flags = await helm.values({ ...common, config: config(), ...more });
    await helm.run("upgrade", "--install", "a3s-box", chartDirectory, "--namespace", "a3s", ...flags);
  };
  const installDaemonSet = async (sandboxes: Values = {}): Promise<void> => {
    const url = `https://127.0.0.1:${String(kubeletPort)}`;
    const kubelet = { url, caFile: join(cluster.kubelet.base, "certs/kubelet.crt") };
    await install("daemonset", {
      config: config(sandboxes),
      daemonSet: {
        kubelet,
        socket: { directory: join(directory, "socket") },
        store: { path: join(directory, "store") },
        outlive: { seconds: unservedSeconds, stateDirectory: join(directory, "state") },
      },
      seccomp: { directory: join(cluster.kubelet.base, "root/seccomp") },
    });
  };
  const daemonSetIsReady = (): Promise<string> =>
    kubectl("-n", "a3s", "wait", "daemonset/a3s-box", "--for=jsonpath={.status.numberReady}=1", "--timeout=170s");
  /** A pod that has the node's socket. */
  const placeApp = async (where: string): Promise<void> => {
    const volumeMounts = [{ name: "a3s", mountPath: "/var/run/a3s" }];
    const spec = {
      ...{ runtimeClassName: "native", terminationGracePeriodSeconds: 2 },
      containers: [{ name: "app", image, command: waits, volumeMounts }],
      volumes: [{ name: "a3s", hostPath: { path: join(directory, "socket"), type: "Directory" } }],
    };
    await cluster.plane.apply({ apiVersion: "v1", kind: "Pod", metadata: { name: "app", namespace: where }, spec });
    await kubectl("-n", where, "wait", "pod/app", "--for=condition=Ready", "--timeout=120s");
  };
  const namespace = async (name: string, ...labels: readonly string[]): Promise<void> => {
    await kubectl("create", "namespace", name);
    await kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=privileged", ...labels);
  };
  const inApp = async (where: string, ...words: readonly string[]): Promise<string> =>
    await kubectl("-n", where, "exec", "app", "-c", "app", "--", ...words);
  const box = async (where: string, ...words: readonly string[]): Promise<string> =>
    await inApp(where, "a3s-box", ...words);
  const kernelIn = async (where: string): Promise<string> =>
    (await box(where, "run", "--rm", "base", "uname", "-r")).trim();
  const begin = async (where: string, name: string): Promise<string> =>
    await box(where, "run", "-d", "--name", name, "base", "sh", "-c", counting);
  /** Another one where the Box, or the program, is another. */
  const bootOf = async (where: string, name: string): Promise<string> =>
    await box(where, "exec", name, "cat", "/proc/sys/kernel/random/boot_id");
  /** Of the program `counting`, each of which is there once: how many, once there are `least`. */
  const linesOf = async (where: string, name: string, least: number): Promise<number> =>
    await eventually(`${name} has written ${String(least)} lines`, 120_000, async () => {
      const lines = (await box(where, "logs", name)).trim().split("\n");
      expect(lines, name).to.deep.equal(lines.map((_, at) => String(at + 1)));
      return lines.length >= least ? lines.length : undefined;
    });
  const uninstall = async (): Promise<void> => {
    await helm.run("uninstall", "a3s-box", "--namespace", "a3s");
    await kubectl("-n", "a3s", "wait", "pods", "--all", "--for=delete", "--timeout=120s");
  };
  /** Boxes are in no group of the cluster's: what waits for the next pod ends them. */
  const nothingOnNode = (): Promise<void> => untilEmptied(directory, ["store", "state"], unservedSeconds * 1000);
  const seconds = (sinceMs: number): string => ((performance.now() - sinceMs) / 1000).toFixed(1);

  it("daemonset: from helm install to a command in a microVM, for a pod that has the socket", async () => {
    await namespace("team-b");
    const beganMs = performance.now();
    await installDaemonSet();
    await daemonSetIsReady();
    process.stdout.write(`      from helm install to a server on the node: ${seconds(beganMs)} s\n`);
    await placeApp("team-b");
    const kernel = await kernelIn("team-b");
    process.stdout.write(`      from helm install to a command in a microVM: ${seconds(beganMs)} s\n`);
    expect(kernel)
      .to.match(/^\d+\.\d+/)
      .and.not.equal(hostRelease());
    await kubectl("delete", "namespace", "team-b");
  });

  it("daemonset: its pods are replaced by an update under sandboxes at work: none ends, no output is lost, quotas are kept", async function () {
    this.timeout(limit(300_000 + boxes * 30_000));
    const teams = ["team-c", "team-d"] as const;
    const names = Array.from({ length: boxes / 2 }, (_, at) => `work-${String(at)}`);
    const quota = { quota: { sandboxes: names.length }, life_ms: 1_800_000 };
    await installDaemonSet(quota);
    await daemonSetIsReady();
    const all = teams.flatMap((team) => names.map((name) => [team, name] as const));
    for (const team of teams) {
      await namespace(team);
      await placeApp(team);
      for (const name of names) await begin(team, name);
    }
    const server = ["-n", "a3s", "get", "pods", "-l", "app.kubernetes.io/component=server"];
    const servers = (): Promise<string> => kubectl(...server, "-o", "jsonpath={.items[*].metadata.uid}");
    const at = await Promise.all(all.map(async ([team, name]) => await bootOf(team, name)));
    const [pod, lines] = [await servers(), await linesOf("team-c", "work-0", 3)];
    const status = (path: string): Promise<string> =>
      kubectl("-n", "a3s", "get", "daemonset", "a3s-box", "-o", `jsonpath={${path}}`);

    const beganMs = performance.now();
    await installDaemonSet({ ...quota, idle_ms: 3_600_000 });
    await eventually("the new pod is the update's, and Ready", 170_000, async () => {
      const [wanted, seen] = [await status(".metadata.generation"), await status(".status.observedGeneration")];
      const done = [await status(".status.updatedNumberScheduled"), await status(".status.numberReady")];
      return wanted === seen && done.join() === "1,1" && (await servers()) !== pod ? true : undefined;
    });
    process.stdout.write(
      `      from helm upgrade to the new pod, with ${String(boxes)} Boxes: ${seconds(beganMs)} s\n`,
    );
    await eventually("it serves", 60_000, () => box("team-c", "ps", "-q"));
    expect(await Promise.all(all.map(async ([team, name]) => await bootOf(team, name)))).to.deep.equal(at);
    for (const [team, name] of all) await linesOf(team, name, lines + 1);
    for (const team of teams) {
      expect((await box(team, "ps", "-q")).trim().split("\n")).to.have.length(names.length);
      const refused = await begin(team, "more").catch(String);
      expect(refused).to.match(/RESOURCE_EXHAUSTED|quota/i);
    }
    for (const team of teams) {
      for (const name of names) await box(team, "stop", name);
      await kubectl("delete", "namespace", team);
    }
  });

  for (const hostUsers of [true, false]) {
    const where = hostUsers ? "team-a" : "team-u";
    const users = hostUsers ? "" : ", in a user namespace";
    it(`sidecar: from helm install to a command in a microVM, for an app that asks for nothing${users}`, async () => {
      await namespace(where, "a3s.dev/inject=enabled");
      await kubectl("-n", where, "create", "configmap", "team-skills", "--from-literal=review=a skill");
      const items = [{ key: "review", path: "review/SKILL.md" }];
      const beganMs = performance.now();
      await install("sidecar", {
        metrics: { enabled: true },
        sidecar: { skills: [{ configMap: { name: "team-skills", items } }] },
      });
      // The node's usual runtime makes microVMs; a microVM in a microVM is none that anybody wants.
      const own = { runtimeClassName: "native", terminationGracePeriodSeconds: 5, hostUsers };
      const run = ["run", "app", `--image=${image}`, `--overrides=${JSON.stringify({ spec: own })}`];
      // The policy is in force a moment after it is there.
      await eventually("pods get a sidecar", 30_000, async () => {
        const args = ["--dry-run=server", "-o", "jsonpath={.spec.initContainers[*].name}"];
        const said = await kubectl("--namespace", where, ...run, ...args);
        return said.includes("a3s-box") ? true : undefined;
      });
      await kubectl("--namespace", where, ...run, "--command", "--", ...waits);
      await kubectl("-n", where, "wait", "pod/app", "--for=condition=Ready", "--timeout=170s");
      process.stdout.write(`      from helm install to an app with its sidecar: ${seconds(beganMs)} s\n`);
      const kernel = await kernelIn(where);
      process.stdout.write(`      from helm install to a command in a microVM: ${seconds(beganMs)} s\n`);
      expect(kernel)
        .to.match(/^\d+\.\d+/)
        .and.not.equal(hostRelease());
      await worksBeside(where);
      const ids = await inApp(where, waits[0] ?? "", "-p", "require('fs').readFileSync('/proc/self/uid_map','utf8')");
      if (hostUsers) expect(ids).to.match(/^ *0 +0 +4294967295$/m);
      else expect(ids).to.match(/^ *0 +[1-9]\d+ +65536$/m);
      await kubectl("delete", "namespace", where);
    });
  }

  /** Files, skills, figures, and kubelet's restart. */
  async function worksBeside(where: string): Promise<void> {
    const mounts = ["-v", "/workspace:/workspace", "-v", "/skills:/skills:ro"];
    const line = "cat /skills/review/SKILL.md; echo made > /workspace/made; echo x > /skills/mine || echo kept";
    const said = await box(where, "run", "--rm", ...mounts, "base", "sh", "-c", line);
    expect(said)
      .to.match(/^a skill(?:kept)?/)
      .and.contain("kept");
    const node = waits[0] ?? "";
    expect(await inApp(where, node, "-p", "require('fs').readFileSync('/workspace/made','utf8')")).to.equal("made\n\n");
    const address = await kubectl("-n", where, "get", "pod", "app", "-o", "jsonpath={.status.podIP}");
    const figures = await (await fetch(`http://${address}:9091/metrics`)).text();
    expect(figures).to.match(/^a3s_box_boxes_started_total\b.* [1-9]/m);
    await begin(where, "work");
    const identity = async (): Promise<string[]> => {
      const ids = await kubectl("-n", where, "get", "pod", "app", "-o", "jsonpath={.status..containerID}");
      return [await bootOf(where, "work"), ...ids.split(" ").sort()];
    };
    const before = await identity();
    const lines = await linesOf(where, "work", 3);
    await cluster.kubelet.stop();
    await cluster.kubelet.launch();
    await eventually("kubelet serves again", 60_000, () => box(where, "ps", "-q"));
    expect(await linesOf(where, "work", lines + 3)).to.be.greaterThan(lines);
    await kubectl("-n", where, "wait", "pod/app", "--for=condition=Ready", "--timeout=60s");
    expect(await identity()).to.deep.equal(before);
  }
});
