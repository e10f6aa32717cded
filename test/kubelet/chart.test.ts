/**
 * deploy/chart before a real API server, with its policies and roles: installed, upgraded, taken back, uninstalled. Nothing
 * runs here: what the pods of its mode cri do on nodes is done by this process, with their accounts.
 */
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { z } from "zod";
import { leave } from "../../src/cli/node/leave.js";
import { callApi, type KubeApi } from "../../src/cli/node/kube-api.js";
import { readNode, tellFirst, tellState, type NodeObject } from "../../src/cli/node/node-object.js";
import { ControlPlane, hasControlPlane } from "../support/control-plane.js";
import { chartDirectory, hasHelm, Helm, noHelm, type Values } from "../support/deploy/helm.js";
import { textOf } from "../support/documents.js";
import { NodeNetwork } from "../support/node-network.js";
import { skipBecause } from "../support/skip.js";
import { Undo } from "../support/undo.js";
import { eventually, limit } from "../support/wait.js";

const release = "box";
const namespace = "a3s";
/** What the chart can make, and what Helm itself keeps of a release. */
const kinds = [
  ...[
    "configmaps",
    "secrets",
    "serviceaccounts",
    "services",
    "daemonsets",
    "deployments",
    "jobs",
    "resourcequotas",
    "networkpolicies",
  ],
  ...["roles", "rolebindings", "clusterroles", "clusterrolebindings", "runtimeclasses"],
  ...["mutatingadmissionpolicies", "mutatingadmissionpolicybindings"],
  ...["validatingadmissionpolicies", "validatingadmissionpolicybindings"],
  ...["servicemonitors", "podmonitors", "prometheusrules"],
].join(",");
const full = (mode: string): Values => ({
  a3sBox: { mode },
  metrics: { enabled: true },
  monitoring: {
    serviceMonitor: { enabled: true },
    podMonitor: { enabled: true },
    prometheusRule: { enabled: true },
    dashboards: { enabled: true },
  },
  resourceQuota: { kvm: { "team-a": 2 } },
  ...(mode === "sidecar" ? { networkPolicy: { enabled: true, namespaces: ["team-a"] } } : {}),
});

const containerSchema = z.looseObject({
  name: z.string(),
  env: z.array(z.looseObject({ name: z.string(), value: z.string().default("") })).default([]),
  volumeMounts: z.array(z.looseObject({ name: z.string(), mountPath: z.string() })).default([]),
});
const podSchema = z.looseObject({
  metadata: z.looseObject({
    labels: z.record(z.string(), z.string()).default({}),
    annotations: z.record(z.string(), z.string()).default({}),
  }),
  spec: z.looseObject({
    initContainers: z.array(containerSchema).default([]),
    containers: z.array(containerSchema),
    volumes: z.array(z.looseObject({ name: z.string() })).default([]),
  }),
});
type Pod = z.infer<typeof podSchema>;

/** The shape of Prometheus' operator's, as far as an API server looks at it. */
function crd(plural: string, kind: string): object {
  const schema = { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } };
  const names = { plural, singular: kind.toLowerCase(), kind, listKind: `${kind}List` };
  const group = "monitoring.coreos.com";
  return {
    ...{ apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition" },
    metadata: { name: `${plural}.${group}` },
    spec: { group, names, scope: "Namespaced", versions: [{ name: "v1", served: true, storage: true, schema }] },
  };
}

const node = (name: string, labels: Readonly<Record<string, string>> = {}) => ({
  ...{ apiVersion: "v1", kind: "Node", metadata: { name, labels } },
});

describe("The chart in a cluster", function () {
  this.timeout(limit(120_000));
  const undo = new Undo();
  let plane: ControlPlane;
  let helm: Helm;
  let directory: string;
  const kubectl = (...args: readonly string[]): Promise<string> => plane.kubectl(...args);

  before("an API server", async function () {
    this.timeout(limit(300_000));
    if (!hasHelm()) skipBecause(this, noHelm);
    if (!hasControlPlane()) skipBecause(this, "no control plane: npm run setup -- cluster builds one, in half an hour");
    directory = await mkdtemp(join(tmpdir(), "a3s-h"));
    undo.add(() => rm(directory, { recursive: true, force: true }));
    const network = await NodeNetwork.here();
    undo.add(() => network.remove());
    plane = await ControlPlane.start({ authorization: "RBAC", apiAlone: true });
    undo.add(() => plane.remove());
    helm = await Helm.open(plane.kubeconfig);
    undo.add(() => helm.close());
    const spaces = { [namespace]: {}, "team-a": { "a3s.dev/inject": "enabled" }, "team-b": {} };
    for (const [name, labels] of Object.entries(spaces)) {
      await plane.apply(
        { apiVersion: "v1", kind: "Namespace", metadata: { name, labels } },
        { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "default", namespace: name } },
      );
    }
    await plane.apply(
      crd("servicemonitors", "ServiceMonitor"),
      crd("podmonitors", "PodMonitor"),
      crd("prometheusrules", "PrometheusRule"),
    );
    await kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=60s");
  });
  after(async function () {
    this.timeout(limit(120_000));
    await undo.run();
  });
  afterEach(async function () {
    if (this.currentTest?.state === "failed") process.stderr.write(`${await plane.logTail("kube-apiserver")}\n`);
  });

  const there = async (): Promise<readonly string[]> => {
    const ours = ["get", kinds, "--all-namespaces", "--output=name", "-l", `app.kubernetes.io/instance=${release}`];
    const secrets = ["get", "secrets", "--all-namespaces", "--output=name", "-l", `owner=helm,name=${release}`];
    const lines = await Promise.all([kubectl(...ours), kubectl(...secrets)]);
    return lines
      .join("")
      .split("\n")
      .filter((line) => line !== "")
      .sort();
  };
  const install = async (mode: string, chart = chartDirectory, values = full(mode)): Promise<string> =>
    await helm.run("upgrade", "--install", release, chart, "--namespace", namespace, ...(await helm.values(values)));
  const uninstall = async (...more: readonly string[]): Promise<string> =>
    await helm.run("uninstall", release, "--namespace", namespace, ...more);

  /** The same chart, as a version before would have been. */
  const versionBefore = async (): Promise<string> => {
    const chart = join(directory, "before");
    await rm(chart, { recursive: true, force: true });
    await mkdir(chart);
    await cp(chartDirectory, chart, { recursive: true });
    const file = join(chart, "Chart.yaml");
    await writeFile(file, (await readFile(file, "utf8")).replaceAll(/ersion: \d+\.\d+\.\d+$/gm, "ersion: 0.0.1"));
    return chart;
  };

  for (const mode of ["daemonset", "sidecar", "cri"]) {
    it(`is taken by the API server in mode ${mode}, every object of it`, async () => {
      const text = await helm.text(full(mode));
      const said = await plane.kubectlWith(text, "apply", "--dry-run=server", "-f", "-");
      const lines = said.trim().split("\n");
      expect(lines.length).to.equal((await helm.rendered(full(mode))).length);
      for (const line of lines) expect(line).to.match(/ created \(server dry run\)$/);
    });

    it(`is installed, upgraded, rolled back and uninstalled in mode ${mode}, and leaves nothing`, async () => {
      expect(await there()).to.deep.equal([]);
      await install(mode, await versionBefore());
      const first = await there();
      expect(first.length).to.be.greaterThan(6);
      const said = await install(mode);
      expect(said).to.contain(`mode ${mode}, in namespace ${namespace}`).and.contain("What this mode can't do");
      await helm.run("rollback", release, "1", "--namespace", namespace);
      const labels = await kubectl("get", kinds, "-A", "-l", "helm.sh/chart=a3s-box-0.0.1", "--output=name");
      expect(labels.trim().split("\n")).to.have.members(first.filter((name) => !name.startsWith("secret/")));
      await uninstall("--no-hooks");
      expect(await there()).to.deep.equal([]);
    });
  }

  it("goes from mode to mode", async () => {
    for (const mode of ["daemonset", "cri", "sidecar", "daemonset"]) await install(mode);
    expect((await there()).filter((name) => name.startsWith("daemonset."))).to.deep.equal([
      `daemonset.apps/${release}-a3s-box`,
    ]);
    await uninstall();
  });

  it("brings the operator's CRD, which stays when the release goes, and is taken up again", async () => {
    const values = { operator: { enabled: true } };
    for (const _round of [1, 2]) {
      await install("daemonset", chartDirectory, values);
      await kubectl("wait", "crd/a3sboxes.a3s.dev", "--for=condition=Established", "--timeout=30s");
      await uninstall();
      expect(await there()).to.deep.equal([]);
      await kubectl("get", "crd", "a3sboxes.a3s.dev");
    }
    await kubectl("delete", "crd", "a3sboxes.a3s.dev");
  });

  describe("with the operator", () => {
    const values = { operator: { enabled: true } };
    const second = async (values: Values, ...more: readonly string[]) =>
      await helm.ended(
        ...["install", "second", chartDirectory, "--namespace", "team-b"],
        ...[...(await helm.values(values)), ...more],
      );
    const endSecond = async (): Promise<void> => {
      await helm.run("uninstall", "second", "--namespace", "team-b");
    };
    after(async () => {
      await kubectl("delete", "crd", "a3sboxes.a3s.dev", "--ignore-not-found");
    });

    it("refuses a second one, wherever its CRD comes from, and says which release has it", async () => {
      await install("daemonset", chartDirectory, values);
      for (const more of [{}, { crds: { enabled: false } }]) {
        const { status, stderr } = await second({ ...values, ...more });
        expect(status).to.not.equal(0);
        expect(stderr).to.contain(
          `the operator of release ${release} in namespace ${namespace} looks after every A3sBox`,
        );
      }
      const left = await kubectl("get", kinds, "-A", "--output=name", "-l", "app.kubernetes.io/instance=second");
      expect(left).to.equal("");
    });

    it("takes other changes of the release that has it, and releases without one", async () => {
      await install("daemonset", chartDirectory, { ...values, metrics: { enabled: true } });
      const { status, stderr } = await second({});
      expect(status, stderr).to.equal(0);
      await endSecond();
    });

    it("moves to another release when the first one has it no more", async () => {
      await install("daemonset", chartDirectory, { operator: { enabled: false } });
      const { status, stderr } = await second(values, "--take-ownership");
      expect(status, stderr).to.equal(0);
      await endSecond();
      await uninstall();
    });

    it("is refused where one was applied by hand", async () => {
      await plane.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: "a3s-system" } });
      const rbac = await textOf("deploy/operator/rbac.yaml");
      await plane.kubectlWith(rbac, "apply", "-f", "-");
      const { status, stderr } = await second(values);
      expect(status).to.not.equal(0);
      expect(stderr).to.contain("an operator that was applied by hand (deploy/operator)");
      await plane.kubectlWith(rbac, "delete", "-f", "-");
    });
  });

  /** Rules that an account has and one without any has not: resources, names, verbs. */
  const rights = async (account: string): Promise<readonly string[]> => {
    const of = async (name: string): Promise<readonly string[]> => {
      const as = `--as=system:serviceaccount:${namespace}:${name}`;
      const groups = [`--as-group=system:serviceaccounts`, "--as-group=system:authenticated"];
      const said = await kubectl("auth", "can-i", "--list", "--no-headers", "-n", namespace, as, ...groups);
      return said.split("\n").map((line) => line.trim().replaceAll(/\s+/g, " "));
    };
    const everybody = new Set(await of("nobody"));
    return (await of(account)).filter((line) => !everybody.has(line));
  };

  it("gives no account more than is used", async () => {
    await install("daemonset");
    expect(await rights(`${release}-a3s-box`)).to.deep.equal(["nodes/pods [] [] [get]"]);
    await install("sidecar");
    expect(await rights(`${release}-a3s-box`)).to.deep.equal([]);
    await install("cri");
    expect(await rights(`${release}-a3s-box-node`)).to.deep.equal(["nodes [] [] [get patch]"]);
    expect([...(await rights(`${release}-a3s-box-leave`))].sort()).to.deep.equal([
      `daemonsets.apps [] [${release}-a3s-box-node] [get delete]`,
      "nodes [] [] [list patch]",
    ]);
    await uninstall("--no-hooks");
  });

  describe("in mode sidecar", () => {
    before(async () => {
      await install("sidecar", chartDirectory, { a3sBox: { mode: "sidecar" } });
      // A policy is in force a moment after it is there.
      await eventually("the policy is in force", 30_000, async () => {
        const { spec } = await made("first", "team-a", { containers: [{ name: "app", image: "app" }] });
        return spec.initContainers.length > 0 ? true : undefined;
      });
    });
    after(async () => {
      await uninstall();
      await kubectl("delete", "pods", "--all", "--grace-period=0", "--force", "-n", "team-a");
    });

    /** The pod as the API server has it then: a dry run is admitted as any other. */
    const made = async (name: string, where: string, spec: object, metadata: object = {}): Promise<Pod> => {
      const pod = { apiVersion: "v1", kind: "Pod", metadata: { name, ...metadata }, spec };
      const args = ["create", "--dry-run=server", "-n", where, "-o", "json", "-f", "-"];
      return podSchema.parse(JSON.parse(await plane.kubectlWith(JSON.stringify(pod), ...args)));
    };
    const app = { name: "app", image: "app" };

    it("gives pods of chosen namespaces what deploy/sidecar/pod.yaml has by hand", async () => {
      const text = (await textOf("deploy/sidecar/pod.yaml")).replaceAll("\n  name: app\n", "\n  name: by-hand\n");
      const args = ["create", "--dry-run=server", "-n", "team-b", "-o", "json", "-f", "-"];
      const byHand = podSchema.parse(JSON.parse(await plane.kubectlWith(text, ...args)));
      const plain = { name: "app", image: "docker.io/library/python:3.13", command: ["sleep", "infinity"] };
      const injected = await made("injected", "team-a", { containers: [plain] });
      const withoutToken = ({ volumeMounts, ...container }: Pod["spec"]["containers"][number]) => ({
        ...container,
        volumeMounts: volumeMounts
          .filter(({ mountPath }) => !mountPath.includes("serviceaccount"))
          .sort((a, b) => a.mountPath.localeCompare(b.mountPath)),
      });
      const shown = ({ metadata, spec }: Pod) => ({
        label: metadata.labels["a3s.dev/sidecar"],
        sidecars: spec.initContainers.map(withoutToken),
        apps: spec.containers.map(withoutToken),
        volumes: spec.volumes.filter((volume) => !volume.name.startsWith("kube-api-access")),
      });
      expect(shown(injected)).to.deep.equal(shown(byHand));
      expect(injected.metadata.annotations["a3s.dev/config.toml"]).to.contain("tcp://127.0.0.1:4088");
    });

    it("leaves what a container has at those places, and comes before other init containers", async () => {
      const own = {
        ...app,
        env: [{ name: "A3S_BOX_ENDPOINT", value: "tcp://elsewhere:1" }],
        volumeMounts: [{ name: "mine", mountPath: "/workspace" }],
      };
      const volumes = [{ name: "mine", emptyDir: {} }];
      const { spec } = await made("own", "team-a", {
        ...{ volumes, containers: [own, { ...app, name: "second" }] },
        initContainers: [{ ...app, name: "migrate" }],
      });
      expect(spec.initContainers.map(({ name }) => name)).to.deep.equal(["a3s-box", "migrate"]);
      const [first, second] = spec.containers;
      const workspace = (container = first): string =>
        container?.volumeMounts.find(({ mountPath }) => mountPath === "/workspace")?.name ?? "";
      expect([workspace(first), workspace(second)]).to.deep.equal(["mine", "a3s-box-workspace"]);
      expect(first?.env).to.deep.equal([{ name: "A3S_BOX_ENDPOINT", value: "tcp://elsewhere:1" }]);
    });

    it("gives nothing to other namespaces, to pods of the host's network, and to those that have one", async () => {
      const other = await made("other", "team-b", { containers: [app] });
      expect(other.spec.initContainers).to.deep.equal([]);
      const host = await made("host", "team-a", { hostNetwork: true, containers: [app] });
      expect(host.spec.initContainers).to.deep.equal([]);
      const has = await made("has", "team-a", { containers: [app, { ...app, name: "a3s-box" }] });
      expect(has.spec.initContainers).to.deep.equal([]);
    });
  });

  describe("in mode cri", () => {
    let keep: KubeApi;
    let admin: KubeApi;
    let leaver: KubeApi;
    let signal: AbortSignal;
    const daemonSet = { namespace, name: `${release}-a3s-box-node` };
    const wish = { daemonSet, nodes: "a3s.dev/cri-node=true", say: () => undefined };

    before(async () => {
      signal = AbortSignal.timeout(limit(300_000));
      await plane.apply(node("one", { keep: "this" }), node("two"));
      for (const name of ["one", "two"]) await runtimeOf(name, "containerd://2.1.0");
      await install("cri", chartDirectory, { a3sBox: { mode: "cri" } });
      const api = async (name: string, token: string): Promise<KubeApi> => {
        const tokenFile = join(directory, name);
        await writeFile(tokenFile, token);
        return { url: "https://127.0.0.1:6443", caFile: join(plane.directory, "certs/apiserver.crt"), tokenFile };
      };
      const spec = {
        nodeName: "one",
        serviceAccountName: `${release}-a3s-box-node`,
        containers: [{ name: "a", image: "a" }],
      };
      await plane.apply({ apiVersion: "v1", kind: "Pod", metadata: { name: "on-one", namespace }, spec });
      const bound = ["--bound-object-kind=Pod", "--bound-object-name=on-one"];
      const token = (account: string, ...more: readonly string[]): Promise<string> =>
        kubectl("create", "token", account, "-n", namespace, ...more);
      keep = await api("keep", await token(`${release}-a3s-box-node`, ...bound));
      leaver = await api("leave", await token(`${release}-a3s-box-leave`));
      admin = await api("admin", (await readFile(join(plane.directory, "tokens.csv"), "utf8")).split(",")[0] ?? "");
      // The policy is in force a moment after it is there. Another value each time: what is there already is no change.
      let tries = 0;
      await eventually("the policy is in force", 30_000, async () =>
        (await refusalOf({ labels: { other: `x${String((tries += 1))}` } })) === "" ? undefined : true,
      );
    });

    const runtimeOf = async (name: string, containerRuntimeVersion: string): Promise<void> => {
      const status = JSON.stringify({ status: { nodeInfo: { containerRuntimeVersion } } });
      await kubectl("patch", "node", name, "--subresource=status", "--type=merge", "-p", status);
    };
    const labelOf = async (name: string): Promise<string> =>
      await kubectl("get", "node", name, "-o", "jsonpath={.metadata.labels.a3s\\.dev/cri}");
    const refusalOf = async (metadata: object, name = "one", more: object = {}): Promise<string> =>
      await callApi(keep, { method: "PATCH", path: `/api/v1/nodes/${name}`, body: { metadata, ...more } }, signal).then(
        () => "",
        (thrown: unknown) => (thrown instanceof Error ? thrown.message : ""),
      );
    const tell = async (name: string, state: Parameters<typeof tellState>[2], api = keep): Promise<NodeObject> => {
      await tellState(api, await readNode(api, name, signal), state, undefined, signal);
      return await readNode(api, name, signal);
    };

    it("lets a pod on a node say of that node how far it is, and nothing else", async () => {
      const asRead = await readNode(keep, "one", signal);
      expect(await tellFirst(keep, asRead, "installing", signal)).to.equal(true);
      expect(await tellFirst(keep, asRead, "removed", signal), "of a node that has changed").to.equal(false);
      expect(await labelOf("one")).to.equal("installing");
      await tell("one", "installed");
      expect(await labelOf("one")).to.equal("installed");
      expect(await refusalOf({ labels: { keep: "that" } })).to.contain("may change no label of a node but a3s.dev/cri");
      expect(await refusalOf({ labels: { keep: null } })).to.contain("may change no label of a node but a3s.dev/cri");
      expect(await refusalOf({ annotations: { other: "x" } })).to.contain("may change no annotation");
      expect(await refusalOf({}, "one", { spec: { unschedulable: true } })).to.contain(
        "nothing of a node but the label",
      );
      expect(await refusalOf({ labels: { "a3s.dev/cri": "active" } }, "two")).to.contain("its own node alone");
    });

    it("is not uninstalled while a node uses it, and says which: nothing has changed then", async () => {
      await runtimeOf("one", "a3s-box://0.2.0");
      await tell("one", "active");
      const before = await there();
      const why = await leave(leaver, { ...wish, limitMs: 5_000 }, signal).catch((thrown: unknown) => thrown);
      expect(why).to.be.instanceOf(Error).with.property("message").that.contains("one: kubelet's runtime is this one");
      expect([await labelOf("one"), await there()]).to.deep.equal(["active", before]);
    });

    it("keeps its release where the hook that asks nodes fails", async () => {
      const running = helm.ended("uninstall", release, "--namespace", namespace);
      await jobEnds("Failed");
      const { status, stderr } = await running;
      expect(status).to.not.equal(0);
      expect(stderr).to.match(/hook|job/i);
      expect(await there()).to.include(`daemonset.apps/${daemonSet.name}`);
    });

    it("is uninstalled when every node has given it up, with no label left", async () => {
      await runtimeOf("one", "containerd://2.1.0");
      await tell("two", "installing", admin);
      await plane.apply(node("three", { "a3s.dev/cri-node": "true" }));
      await runtimeOf("three", "containerd://2.1.0");
      const running = helm.ended("uninstall", release, "--namespace", namespace);
      const left = leave(leaver, { ...wish, limitMs: limit(60_000) }, signal);
      for (const name of ["one", "two"]) {
        await eventually(`${name} is asked`, 30_000, async () =>
          (await labelOf(name)) === "removing" ? true : undefined,
        );
        await tell(name, "removed", name === "one" ? keep : admin);
      }
      await podsEnd();
      expect(await left).to.have.members(["one", "two"]);
      await jobEnds("Complete");
      const { status, stderr } = await running;
      expect(status, stderr).to.equal(0);
      expect(await there()).to.deep.equal([]);
      for (const name of ["one", "two", "three"]) expect(await labelOf(name)).to.equal("");
    });

    /** As the garbage collector would say it that is not here: the DaemonSet goes after its pods. */
    const podsEnd = async (): Promise<void> => {
      const of = ["daemonset", daemonSet.name, "-n", namespace];
      await eventually("the DaemonSet is deleted", 30_000, async () =>
        (await kubectl("get", ...of, "-o", "jsonpath={.metadata.deletionTimestamp}")) === "" ? undefined : true,
      );
      expect(await labelOf("three"), "no pod is to begin there").to.equal("removed");
      await kubectl("patch", ...of, "--type=merge", "-p", JSON.stringify({ metadata: { finalizers: null } }));
    };

    /** As the controller would say it that is not here. */
    const jobEnds = async (how: "Complete" | "Failed"): Promise<void> => {
      const now = new Date().toISOString().replace(/\.\d+Z$/, "Z");
      const before = how === "Complete" ? "SuccessCriteriaMet" : "FailureTarget";
      const conditions = [before, how].map((type) => ({ type, status: "True", lastTransitionTime: now }));
      const ended = how === "Complete" ? { completionTime: now, succeeded: 1 } : { failed: 1 };
      const status = JSON.stringify({ status: { startTime: now, conditions, ...ended } });
      await eventually("the job is there", 60_000, async () => {
        await kubectl(
          "patch",
          "job",
          `${release}-a3s-box-leave`,
          "-n",
          namespace,
          "--subresource=status",
          "--type=merge",
          "-p",
          status,
        );
        return true;
      });
    };
  });
});
