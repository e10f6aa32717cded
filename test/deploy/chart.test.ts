/** deploy/chart through helm: what it makes of values, and which it refuses. Skipped without helm (`npm run setup -- helm`). */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadYaml } from "@kubernetes/client-node";
import { expect } from "chai";
import { z } from "zod";
import type { Config } from "../../src/config/config.js";
import { loadConfig } from "../../src/config/load.js";
import { textOf } from "../support/documents.js";
import { chartDirectory, hasHelm, Helm, noHelm, type Rendered, type Values } from "../support/deploy/helm.js";
import { skipBecause } from "../support/skip.js";

const everything: Values = {
  metrics: { enabled: true },
  monitoring: {
    serviceMonitor: { enabled: true, additionalLabels: { release: "p" } },
    podMonitor: { enabled: true },
    prometheusRule: { enabled: true },
    dashboards: { enabled: true },
  },
  resourceQuota: { kvm: { "team-a": 10 } },
  llmConfig: { secretName: "models" },
  global: { commonLabels: { team: "platform" } },
};
const tcp: Values = {
  tcp: {
    enabled: true,
    tlsSecretName: "port",
    tokens: [
      { name: "ci", secretName: "tokens", key: "ci" },
      { name: "b", tenant: "team-b", secretName: "t2", key: "x" },
    ],
  },
};
/** By name, with all that can be on at a time. */
const modes: readonly (readonly [string, Values])[] = [
  ["daemonset", { ...everything, a3sBox: { mode: "daemonset" }, daemonSet: tcp }],
  [
    "daemonset, anyone",
    {
      ...everything,
      a3sBox: { mode: "daemonset" },
      daemonSet: { callers: "anyone", store: { type: "hostPath" } },
      networkPolicy: { enabled: true },
      seccomp: { install: false },
    },
  ],
  ["sidecar", { ...everything, a3sBox: { mode: "sidecar" }, networkPolicy: { enabled: true, namespaces: ["team-a"] } }],
  ["cri", { ...everything, a3sBox: { mode: "cri" } }],
  ["cri, with the operator", { ...everything, a3sBox: { mode: "cri" }, operator: { enabled: true } }],
];

const mapSchema = z.record(z.string(), z.unknown());
const policySchema = z.looseObject({
  spec: z.looseObject({
    mutations: z.array(z.looseObject({ applyConfiguration: z.looseObject({ expression: z.string() }).optional() })),
  }),
});

const outlivingSchema = z.looseObject({
  spec: z.looseObject({
    updateStrategy: z.object({ type: z.string() }),
    template: z.looseObject({
      spec: z.looseObject({
        hostPID: z.boolean(),
        containers: z.tuple([
          z.looseObject({
            securityContext: z.looseObject({ capabilities: z.object({ add: z.array(z.string()), drop: z.unknown() }) }),
          }),
        ]),
      }),
    }),
  }),
});

/** Every object and list in a value, itself too. */
function* within(value: unknown): Generator<Record<string, unknown>> {
  if (Array.isArray(value)) for (const one of value) yield* within(one);
  else if (typeof value === "object" && value !== null) {
    yield mapSchema.parse(value);
    for (const one of Object.values(value)) yield* within(one);
  }
}

const named = (objects: readonly Rendered[], kind: string): Rendered[] => objects.filter((one) => one.kind === kind);

describe("the chart, by helm", () => {
  let helm: Helm;
  let directory: string;
  before(async function () {
    if (!hasHelm()) skipBecause(this, noHelm);
    helm = await Helm.open();
    directory = await mkdtemp(join(tmpdir(), "a3s-chart-"));
  });
  after(async () => {
    if (!hasHelm()) return;
    await helm.close();
    await rm(directory, { recursive: true });
  });

  /** As the daemon takes it. */
  const configOf = async (text: unknown): Promise<Config> => {
    const file = join(directory, "config.toml");
    await writeFile(file, z.string().parse(text));
    return await loadConfig({ config: file });
  };
  const configMap = (objects: readonly Rendered[], name: string): unknown =>
    mapSchema.parse(named(objects, "ConfigMap").find((one) => one.metadata.name === name)?.["data"])["config.toml"];

  it("is without a fault for lint, with its defaults", async () => {
    const said = await helm.run("lint", "--strict", chartDirectory);
    expect(said).to.contain("1 chart(s) linted, 0 chart(s) failed");
  });

  for (const [name, values] of modes) {
    it(`makes in mode ${name} objects with its labels, and nothing that is privileged`, async () => {
      const objects = await helm.rendered(values);
      expect(objects.length).to.be.greaterThan(4);
      for (const { metadata, kind } of objects) {
        expect(metadata.labels, `${kind} ${metadata.name}`).to.include({
          "app.kubernetes.io/instance": "box",
          team: "platform",
        });
      }
      for (const part of within(objects)) {
        if ("privileged" in part) expect(part["privileged"]).to.equal(false);
        if ("capabilities" in part) expect(part["capabilities"]).to.deep.include({ drop: ["ALL"] });
        if ("allowPrivilegeEscalation" in part) expect(part).to.include({ readOnlyRootFilesystem: true });
      }
      const keys = objects.map(({ kind, metadata }) => `${kind} ${metadata.namespace ?? ""} ${metadata.name}`);
      expect(new Set(keys).size).to.equal(keys.length);
    });
  }

  it("gives the DaemonSet a configuration that the daemon takes: tenants by kubelet, a port with tokens and TLS", async () => {
    const objects = await helm.rendered({ a3sBox: { mode: "daemonset" }, daemonSet: tcp, metrics: { enabled: true } });
    const { cri, metrics, sandboxPort, sandboxes, network } = await configOf(configMap(objects, "box-a3s-box"));
    expect([cri.enabled, network, metrics]).to.deep.equal([false, "loopback", { host: "0.0.0.0", port: 9091 }]);
    expect(sandboxPort.listen).to.deep.equal([
      { kind: "unix", path: "/var/run/a3s/a3s-box.sock" },
      { kind: "tcp", host: "0.0.0.0", port: 4088 },
    ]);
    expect(sandboxPort).to.deep.include({ unixCallers: "known", socketMode: 0o666, plain: false });
    expect(sandboxPort.kubelet).to.deep.equal({
      url: "https://127.0.0.1:10250",
      caFile: "/etc/a3s-kubelet-ca.crt",
      tokenFile: "/etc/a3s-kubelet/token",
    });
    expect(Object.entries(sandboxPort.tokens).map(([owner, { file, tenant }]) => [owner, file, tenant])).to.deep.equal([
      ["b", "/etc/a3s-tokens/b", "team-b"],
      ["ci", "/etc/a3s-tokens/ci", "ci"],
    ]);
    expect(sandboxes.templates["base"]?.image).to.equal("docker.io/library/debian:13-slim");
  });

  it("takes more of the configuration over its own, quotas of namespaces among it", async () => {
    const config = { sandboxes: { life_ms: 600_000, tenants: { "team-a": { sandboxes: 3 } } }, network: "cni" };
    const objects = await helm.rendered({ config, daemonSet: { callers: "anyone" } });
    const { sandboxes, network, sandboxPort } = await configOf(configMap(objects, "box-a3s-box"));
    expect([sandboxes.lifeMs, sandboxes.tenants["team-a"]?.sandboxes, network, sandboxPort.unixCallers]).to.deep.equal([
      600_000,
      3,
      "cni",
      "anyone",
    ]);
  });

  it("gives nodes in mode cri a configuration that the daemon takes", async () => {
    const objects = await helm.rendered({ a3sBox: { mode: "cri", driver: "krun" } });
    const config = await configOf(configMap(objects, "box-a3s-box-node"));
    expect([config.driver, config.hostNamespaces, config.cgroup.driver, config.cri.enabled]).to.deep.equal([
      "krun",
      "native",
      "systemd",
      true,
    ]);
    expect(Object.keys(config.handlers)).to.include.members(["microvm-large", "native"]);
  });

  it("injects the configuration and the sidecar that are written by hand in deploy/sidecar", async () => {
    const [policy] = named(await helm.rendered({ a3sBox: { mode: "sidecar" } }), "MutatingAdmissionPolicy");
    const { mutations } = policySchema.parse(policy).spec;
    const annotations = mutations[0]?.applyConfiguration?.expression ?? "";
    const text: unknown = JSON.parse(/"a3s\.dev\/config\.toml": ("(?:[^"\\]|\\.)*")/.exec(annotations)?.[1] ?? "null");
    const byHand = z
      .looseObject({ metadata: z.looseObject({ annotations: z.record(z.string(), z.string()) }) })
      .parse(loadYaml(await textOf("deploy/sidecar/pod.yaml")));
    const injected = await configOf(text);
    expect(await configOf(byHand.metadata.annotations["a3s.dev/config.toml"])).to.deep.equal(injected);
    expect(injected.sandboxes.everyone.mounts).to.deep.equal(["/workspace", "/skills"]);
  });

  it("injects limits with fractions as they are given", async () => {
    const resources = { limits: { cpu: 0.5, memory: 1073741824 } };
    const [policy] = named(
      await helm.rendered({ a3sBox: { mode: "sidecar" }, sidecar: { resources } }),
      "MutatingAdmissionPolicy",
    );
    const expressions = JSON.stringify(policy);
    expect(expressions).to.contain('cpu\\\": dyn(0.5)').and.contain('memory\\\": dyn(1073741824)');
  });

  it("leads by its Service, DaemonSet and NetworkPolicy to no pod of the operator's", async () => {
    const values = { ...everything, daemonSet: { callers: "anyone" }, networkPolicy: { enabled: true } };
    const objects = await helm.rendered({ ...values, operator: { enabled: true } });
    const kinds = ["Service", "DaemonSet", "NetworkPolicy"];
    const selecting = kinds.flatMap((kind) => named(objects, kind));
    expect(selecting.map(({ kind }) => kind)).to.deep.equal(kinds);
    for (const one of selecting) expect(JSON.stringify(one)).to.contain('"app.kubernetes.io/component":"server"');
  });

  it("brings the operator where it is wanted, with a CRD that stays", async () => {
    const objects = await helm.rendered({ operator: { enabled: true } });
    const [crd] = named(objects, "CustomResourceDefinition");
    expect(crd?.metadata.annotations).to.include({ "helm.sh/resource-policy": "keep" });
    expect(named(objects, "Deployment").map(({ metadata }) => metadata.name)).to.deep.equal(["box-a3s-box-operator"]);
    const gone = await helm.rendered({ operator: { enabled: true }, crds: { keep: false } });
    expect(named(gone, "CustomResourceDefinition")[0]?.metadata.annotations).to.not.have.property(
      "helm.sh/resource-policy",
    );
    const without = await helm.rendered({ operator: { enabled: true }, crds: { enabled: false } });
    expect(named(without, "CustomResourceDefinition")).to.deep.equal([]);
    expect(named(await helm.rendered({}), "Deployment")).to.deep.equal([]);
  });

  it("gives the operator's rights by the names that deploy/operator has, so that one operator has them", async () => {
    const byHand = (await textOf("deploy/operator/rbac.yaml")).split(/^---$/m);
    for (const kind of ["ClusterRole", "ClusterRoleBinding"]) {
      const there = byHand.find((text) => text.includes(`\nkind: ${kind}\n`)) ?? "";
      const name = /^ {2}name: (.*)$/m.exec(there)?.[1];
      for (const namespace of ["a3s", "elsewhere"]) {
        const objects = await helm.rendered({ operator: { enabled: true } }, "--namespace", namespace);
        expect(named(objects, kind).map(({ metadata }) => metadata.name)).to.include(name);
      }
    }
  });

  for (const [what, values, why] of [
    ["a mode that is none", { a3sBox: { mode: "host" } }, "mode"],
    ["a value that it does not know", { sidecars: {} }, "sidecars"],
    ["a deep one", { daemonSet: { socket: { dir: "/x" } } }, "dir"],
    ["a number as a mode", { daemonSet: { socket: { mode: 438 } } }, "mode"],
    ["a kubelet elsewhere", { daemonSet: { kubelet: { url: "https://192.0.2.1:10250" } } }, "url"],
    ["a digest that is none", { image: { digest: "sha256:1" } }, "digest"],
    ["no node to choose", { cri: { nodeSelector: { "a3s.dev/cri-node": null } } }, "nodeSelector"],
    ["a port without tokens", { daemonSet: { tcp: { enabled: true, plain: true } } }, "daemonSet.tcp.tokens"],
    [
      "tokens in clear",
      { daemonSet: { tcp: { enabled: true, tokens: [{ name: "a", secretName: "s", key: "k" }] } } },
      "tokens would travel in clear",
    ],
    [
      "an emptyDir for what outlives it",
      { daemonSet: { store: { type: "emptyDir" } } },
      "daemonSet.store.type hostPath",
    ],
    ["memory that is no quantity", { daemonSet: { resources: { limits: { memory: "much" } } } }, "memory"],
    [
      "a monitor of nothing",
      { monitoring: { serviceMonitor: { enabled: true } } },
      "monitoring.serviceMonitor and podMonitor need metrics.enabled",
    ],
    ["a policy that does nothing", { networkPolicy: { enabled: true } }, "networkPolicy.enabled does nothing"],
    [
      "a profile without a name",
      { a3sBox: { mode: "sidecar" }, seccomp: { type: "Localhost" } },
      "seccomp.localhostProfile is needed",
    ],
  ] as const) {
    it(`refuses ${what}, and says so`, async () => {
      expect(await helm.refusal(values)).to.contain(why);
    });
  }

  it("has sandboxes that outlive their pod, unless it is told not to, and then replaces no pod by itself", async () => {
    const specOf = (objects: readonly Rendered[]) =>
      outlivingSchema.parse(named(objects, "DaemonSet").find(({ metadata }) => metadata.name === "box-a3s-box")).spec;
    const objects = await helm.rendered({ daemonSet: { callers: "anyone", outlive: { seconds: 60 } } });
    const { cgroup, sandboxes } = await configOf(configMap(objects, "box-a3s-box"));
    expect(cgroup).to.deep.equal({ driver: "cgroupfs", outlivesContainer: true, memoryMib: 8192 });
    expect(sandboxes.unservedMs).to.equal(60_000);
    const { updateStrategy, template } = specOf(objects);
    expect(updateStrategy.type).to.equal("RollingUpdate");
    expect(template.spec.hostPID).to.equal(true);
    expect(template.spec.containers[0].securityContext.capabilities.add).to.include("SYS_PTRACE");

    const ends = { callers: "anyone", outlive: { enabled: false }, store: { type: "emptyDir" } };
    const bare = await helm.rendered({ daemonSet: ends });
    expect((await configOf(configMap(bare, "box-a3s-box"))).cgroup.outlivesContainer).to.equal(false);
    const narrow = specOf(bare);
    expect(narrow.updateStrategy.type).to.equal("OnDelete");
    expect(narrow.template.spec.hostPID).to.equal(false);
    expect(narrow.template.spec.containers[0].securityContext.capabilities.add)
      .to.have.length(13)
      .and.not.include("SYS_PTRACE");
    expect(JSON.stringify(narrow.template.spec)).to.not.contain("/sys/fs/cgroup");
  });

  for (const [memory, mib] of [
    ["512Mi", 512],
    ["1.5Gi", 1536],
    ["1G", 954],
    ["900000000", 859],
  ] as const) {
    it(`bounds its Boxes by a limit of ${memory}`, async () => {
      const objects = await helm.rendered({ daemonSet: { resources: { limits: { memory } } } });
      expect((await configOf(configMap(objects, "box-a3s-box"))).cgroup.memoryMib).to.equal(mib);
    });
  }

  it("is taken as a part of another chart, with that one's global values", async () => {
    const parent = join(directory, "parent");
    const made = await helm.run("create", parent);
    expect(made).to.contain("Creating");
    const chart = await textOf("deploy/chart/Chart.yaml");
    const version = /^version: (.*)$/m.exec(chart)?.[1] ?? "";
    const dependency = { name: "a3s-box", version, repository: `file://${chartDirectory}` };
    await writeFile(
      join(parent, "Chart.yaml"),
      JSON.stringify({ apiVersion: "v2", name: "parent", version: "0.1.0", dependencies: [dependency] }),
    );
    await helm.run("dependency", "update", parent);
    const values = await helm.values({ global: { imageRegistry: "x" }, "a3s-box": { a3sBox: { mode: "sidecar" } } });
    const said = await helm.run("template", "box", parent, ...values);
    expect(said).to.contain("kind: MutatingAdmissionPolicy");
  });
});
