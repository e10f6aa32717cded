import { loadYaml } from "@kubernetes/client-node";
import { expect } from "chai";
import { z } from "zod";
import { identityOf } from "../../../operator/src/box/names.js";
import { imageOf, podHash, renderPod, type PodOptions } from "../../../operator/src/box/render-pod.js";
import { renderNetworkPolicy, renderRunner, renderWorkspace } from "../../../operator/src/box/render-objects.js";
import { readSpec, type BoxSpec } from "../../../operator/src/box/spec.js";
import { listAt, objectAt, textAt, textsAt, type Json, type JsonObject } from "../../../operator/src/kube/json.js";
import { parseFile } from "../../../src/config/load.js";
import { neededCapabilities } from "../../../src/cli/rights-findings.js";
import { textOf } from "../../support/documents.js";

const options: PodOptions = { runtimeClassName: "microvm", runtimeImage: "a3s-box:1" };
const identity = identityOf({ metadata: { name: "b", namespace: "n", uid: "u" } });
const none = new Map<string, readonly string[]>();
const spec = (members: JsonObject = {}): BoxSpec => readSpec({ spec: { mode: "cri", image: "agent:1", ...members } });
const podOf = (members: JsonObject): JsonObject => renderPod(identity, spec(members), none, options).spec;
const mainOf = (pod: JsonObject): Json => listAt(pod, "containers")[0] ?? null;
const mountsOf = (container: Json | undefined): readonly (string | undefined)[] =>
  listAt(container, "volumeMounts").map((mount) => textAt(mount, "mountPath"));
const environmentOf = (container: Json): JsonObject =>
  Object.fromEntries(listAt(container, "env").map((one) => [textAt(one, "name") ?? "", textAt(one, "value") ?? ""]));

describe("an A3sBox, rendered", () => {
  it("is in mode cri a pod of the RuntimeClass, without the cluster's token", () => {
    const pod = podOf({ resources: { memory: "2Gi", cpus: 2 } });
    expect(pod).to.include({
      runtimeClassName: "microvm",
      restartPolicy: "Always",
      automountServiceAccountToken: false,
    });
    expect(objectAt(mainOf(pod), "resources", "limits")).to.deep.equal({ memory: "2Gi", cpu: "2" });
    expect(textAt(podOf({ runtimeClassName: "agents" }), "runtimeClassName")).to.equal("agents");
  });

  it("has in mode sidecar the runtime beside it, which alone has the models' keys", () => {
    const pod = podOf({
      mode: "sidecar",
      llmConfig: { secretRef: { name: "keys", key: "k" } },
      resources: { memory: "1Gi" },
    });
    expect(textAt(pod, "runtimeClassName")).to.equal(undefined);
    const [sidecar = null] = listAt(pod, "initContainers");
    expect(textAt(sidecar, "restartPolicy")).to.equal("Always");
    expect(objectAt(sidecar, "resources", "limits")).to.deep.equal({ memory: "1Gi", "devices.kubevirt.io/kvm": "1" });
    expect(mountsOf(sidecar)).to.include("/etc/a3s");
    expect(mountsOf(mainOf(pod))).to.deep.equal(["/workspace"]);
    expect(environmentOf(mainOf(pod))).to.include({ A3S_BOX_ENDPOINT: "tcp://localhost:4088" });
    const secret = listAt(pod, "volumes").find((volume) => textAt(volume, "name") === "a3s-box-llm");
    expect(objectAt(secret, "secret")).to.deep.equal({
      secretName: "keys",
      items: [{ key: "k", path: "llm-config.json" }],
    });
    const volumes = listAt(pod, "volumes").map((volume) => textAt(volume, "name"));
    const mounted = [sidecar, mainOf(pod)].flatMap((one) =>
      listAt(one, "volumeMounts").map((mount) => textAt(mount, "name")),
    );
    expect(volumes).to.have.members([...new Set(mounted)]);
  });

  it("asks in mode sidecar for the capabilities that check looks for", () => {
    const [sidecar = null] = listAt(
      podOf({ mode: "sidecar", llmConfig: { secretRef: { name: "k" } } }),
      "initContainers",
    );
    const { add, drop } = objectAt(sidecar, "securityContext", "capabilities") ?? {};
    expect(drop).to.deep.equal(["ALL"]);
    expect(add).to.have.members([...neededCapabilities.values()]);
  });

  it("has in mode sidecar the rights of the sidecar that is written by hand", async () => {
    const [sidecar = null] = listAt(
      podOf({ mode: "sidecar", llmConfig: { secretRef: { name: "k" } } }),
      "initContainers",
    );
    const pod = z
      .object({ spec: z.looseObject({ initContainers: z.array(z.looseObject({ securityContext: z.unknown() })) }) })
      .parse(loadYaml(await textOf("deploy/sidecar/pod.yaml")));
    const byHand = pod.spec.initContainers[0]?.securityContext;
    expect({ ...objectAt(sidecar, "securityContext"), privileged: false }).to.deep.equal(byHand);
  });

  it("has in mode sidecar a runtime that bounds no disks, which its image can't, and lets sandboxes mount what it has", async () => {
    const members = { mode: "sidecar", llmConfig: { secretRef: { name: "k" } } };
    const configOf = (more: JsonObject): string =>
      textAt(renderPod(identity, spec({ ...members, ...more }), none, options).metadata, ...path) ?? "";
    const path = ["annotations", "a3s.dev/config.toml"];
    const skills = [{ name: "review", configMapRef: { name: "c" } }];
    const values = parseFile(configOf({ skills }), "config.toml");
    expect(values.get("sandboxes.disk_bound")?.value).to.equal("none");
    expect(values.get("sandboxes.mounts")?.value).to.deep.equal(["/workspace", "/skills"]);
    const [, injected = ""] =
      /"a3s\.dev\/config\.toml": (".*")$/m.exec(await textOf("deploy/operator/injection.yaml")) ?? [];
    expect(JSON.parse(injected), "as of deploy/operator/injection.yaml").to.equal(configOf({}));
    expect(textAt(renderPod(identity, spec(), none, options).metadata, ...path)).to.equal(undefined);
  });

  it("has in mode daemonset the node's socket", () => {
    const pod = podOf({ mode: "daemonset" });
    expect(environmentOf(mainOf(pod))).to.include({ A3S_BOX_ENDPOINT: "unix:///var/run/a3s/a3s-box.sock" });
    expect(mountsOf(mainOf(pod))).to.include("/var/run/a3s");
  });

  it("starts the agent on its prompt once, or lets it wait", () => {
    const codex = podOf({ codingAgent: { kind: "codex", prompt: "do; rm -rf /" } });
    expect(textsAt(mainOf(codex), "command").at(-1)).to.equal("do; rm -rf /");
    expect(textAt(codex, "restartPolicy")).to.equal("Never");
    const waiting = podOf({ codingAgent: { kind: "codex" } });
    expect(textsAt(mainOf(waiting), "command")[0]).to.equal("/bin/sh");
    expect(textAt(waiting, "restartPolicy")).to.equal("Always");
    const own = podOf({ codingAgent: { kind: "custom", command: ["mine", "-x"], prompt: "go" } });
    expect(textsAt(mainOf(own), "command")).to.deep.equal(["mine", "-x", "go"]);
    expect(textsAt(mainOf(podOf({})), "command")).to.deep.equal([]);
  });

  it("has its prompt as it was written, whatever kubelet makes of a dollar", () => {
    const prompt = "why is $(A3S_CODING_AGENT) in $$HOME, and what costs 5$?";
    const [said = ""] = textsAt(mainOf(podOf({ codingAgent: { kind: "codex", prompt } })), "command").slice(-1);
    expect(expanded(said, { A3S_CODING_AGENT: "codex" })).to.equal(prompt);
  });

  it("has a prompt that its agent can't take for an option", () => {
    const prompt = "- fix the build\n- test it";
    const words = (codingAgent: JsonObject): readonly string[] =>
      textsAt(mainOf(podOf({ codingAgent: { prompt, ...codingAgent } })), "command");
    for (const kind of ["claude-code", "codex", "opencode", "a3s_code"]) {
      const [said = "-"] = words({ kind }).slice(-1);
      expect([said.startsWith("-"), said.trim()], kind).to.deep.equal([false, prompt]);
    }
    expect(words({ kind: "custom", command: ["mine", "--"] })).to.deep.equal(["mine", "--", prompt]);
  });

  it("has skills where people and its agent look for them, with paths of their keys", () => {
    const skills = [{ name: "review", configMapRef: { name: "c" } }];
    const keys = new Map([["c", ["SKILL.md", "scripts__run.py"]]]);
    const wanted = spec({ skills, codingAgent: { kind: "claude-code" } });
    const pod = renderPod(identity, wanted, keys, options).spec;
    expect(mountsOf(mainOf(pod))).to.deep.equal(["/workspace", "/skills", "/etc/claude-code/.claude/skills"]);
    const volume = listAt(pod, "volumes").find((one) => textAt(one, "name") === "skills");
    expect(listAt(volume, "projected", "sources")).to.deep.equal([
      {
        configMap: {
          name: "c",
          items: [
            { key: "SKILL.md", path: "review/SKILL.md" },
            { key: "scripts__run.py", path: "review/scripts/run.py", mode: 0o555 },
          ],
        },
      },
    ]);
  });

  it("leaves it in mode cri to the node, which has the models, to tell an agent of them and of its skills", () => {
    const rendered = (members: JsonObject): readonly [Json | undefined, string | undefined] => {
      const { metadata, spec: pod } = renderPod(identity, spec(members), none, options);
      const told = textAt(environmentOf(mainOf(pod)), "OPENCODE_CONFIG_CONTENT");
      return [objectAt(metadata, "annotations")?.["a3s.dev/agent"], told];
    };
    const skills = [{ name: "review", configMapRef: { name: "c" } }];
    const codingAgent = { kind: "opencode" };
    const llmConfig = { providers: ["claude"] };
    expect(rendered({ codingAgent, llmConfig, skills })).to.deep.equal(["opencode", undefined]);
    const alone = [undefined, '{"skills":{"paths":["/skills"]}}'];
    expect(rendered({ codingAgent, skills })).to.deep.equal(alone);
    expect(rendered({ codingAgent, skills, mode: "daemonset" })).to.deep.equal(alone);
    expect(rendered({ codingAgent: { kind: "custom", command: ["mine"] }, llmConfig })).to.deep.equal([
      undefined,
      undefined,
    ]);
  });

  it("names the version where the image has no tag of its own", () => {
    const image = (name: string): string =>
      imageOf(spec({ image: name, codingAgent: { kind: "codex", version: "1.2" } }));
    expect(image("host:5000/team/codex")).to.equal("host:5000/team/codex:1.2");
    expect(image("codex:3")).to.equal("codex:3");
    expect(image("codex@sha256:00")).to.equal("codex@sha256:00");
  });

  it("is another pod when what it is made of has changed, and not when it is suspended or a skill has one more file", () => {
    const hash = (members: JsonObject): string => podHash(spec(members), options);
    expect(hash({})).to.equal(
      hash({ operatingMode: "Suspended", shutdownTime: "2030-01-01T00:00:00Z", network: { egress: "None" } }),
    );
    const others = [
      ...[
        { image: "agent:2" },
        { codingAgent: { kind: "opencode" } },
        { runtimeClassName: "other" },
        { resources: { cpus: 1 } },
      ],
      ...[{ skills: [{ name: "a", configMapRef: { name: "c" } }] }, { llmConfig: { providers: ["x"] } }],
    ];
    const hashes = new Set([{}, ...others].map(hash));
    expect(hashes.size).to.equal(others.length + 1);
  });

  it("is let out to public addresses alone, or nowhere, or has no policy", () => {
    const policy = (egress: string): JsonObject | undefined =>
      renderNetworkPolicy(identity, spec({ network: { egress } }));
    expect(policy("Open")).to.equal(undefined);
    expect(objectAt(policy("None"), "spec")).to.not.have.property("egress");
    expect(textsAt(policy("None"), "spec", "policyTypes")).to.deep.equal(["Ingress", "Egress"]);
    const text = JSON.stringify(policy("Internet"));
    for (const range of ["10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "168.63.129.16/32", "fc00::/7"])
      expect(text).to.contain(range);
  });

  it("is by agent-sandbox a Sandbox, or a template, a pool and a claim", () => {
    const kindsOf = (members: JsonObject): readonly (string | undefined)[] =>
      renderRunner(identity, spec(members), { engine: "AgentSandbox", keys: none, options }).map((one) =>
        textAt(one, "kind"),
      );
    expect(kindsOf({})).to.deep.equal(["Sandbox"]);
    expect(kindsOf({ pool: { replicas: 2 } })).to.deep.equal(["SandboxTemplate", "SandboxWarmPool", "SandboxClaim"]);
  });

  it("owns what is made for it", () => {
    const all = [
      ...renderRunner(identity, spec(), { engine: "Pod", keys: none, options }),
      renderNetworkPolicy(identity, spec()) ?? null,
      renderWorkspace(identity, spec({ workspace: { size: "1Gi" } })) ?? null,
    ];
    for (const object of all) {
      const [owner] = listAt(object, "metadata", "ownerReferences");
      expect(objectAt(owner)).to.include({ kind: "A3sBox", name: "b", uid: "u", controller: true });
      expect(textAt(object, "metadata", "labels", "a3s.dev/box")).to.equal("b");
    }
  });
});

/** As kubelet does it: third_party/forked/golang/expansion of Kubernetes. */
function expanded(text: string, variables: Readonly<Record<string, string>>): string {
  return text.replaceAll(/\$\$|\$\(([^)]*)\)/g, (found, name: string | undefined) =>
    name === undefined ? "$" : (variables[name] ?? found),
  );
}
