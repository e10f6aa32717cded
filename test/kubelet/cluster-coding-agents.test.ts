/**
 * opencode and codex as they are published, by an A3sBox of three lines about them, in pods whose NetworkPolicy lets nothing out:
 * a whole session of ACP by `kubectl exec -i`, and a prompt worked on to its end. Skipped without what `npm run setup -- cluster` and
 * `npm run setup -- coding-agents` bring; some minutes in an emulated guest.
 */
import { expect } from "chai";
import { codingAgentsImage } from "../support/agents/coding-agents-image.js";
import { member } from "../support/agents/acp-conversation.js";
import { acpProcess, type AcpProcess } from "../support/agents/acp-process.js";
import { AcpQuestions } from "../support/agents/acp-questions.js";
import { skillText } from "../support/agents/skill-directory.js";
import { hasControlPlane } from "../support/control-plane.js";
import { hasHelm, noHelm } from "../support/deploy/helm.js";
import { startFurnishedCluster, type FurnishedCluster } from "../support/furnished-cluster.js";
import { hasKubeRouter, KubeRouter } from "../support/kube-router.js";
import { hasCodingAgents, noAgents, ofLastTurn, written } from "../support/models/coding-agents.js";
import { skipBecause } from "../support/skip.js";
import { Undo } from "../support/undo.js";
import { eventually, limit } from "../support/wait.js";
import { container, idle, pod, shell } from "./objects.js";

const image = "localhost/a3s-box/coding-agents:1";
const described = "Forms of PDF, as the test of a cluster's agents has them";
/** An emulated guest reads 180 MB of a program before it says its first word. */
const turnMs = 600_000;
const cwd = "/home/user";
const box = (name: string, codingAgent: object, provider: string): object => ({
  ...{ apiVersion: "a3s.dev/v1alpha1", kind: "A3sBox", metadata: { name } },
  spec: {
    ...{ mode: "cri", runtimeClassName: "agents", image, codingAgent, llmConfig: { providers: [provider] } },
    ...{ skills: [{ name: "forms", configMapRef: { name: "forms" } }], network: { egress: "None" } },
    resources: { cpus: "1", memory: "1Gi" },
  },
});
const seconds = (sinceMs: number): string => ((performance.now() - sinceMs) / 1000).toFixed(1);

describe("Coding agents of npm in a cluster", function () {
  this.timeout(limit(turnMs));
  const undo = new Undo();
  let cluster: FurnishedCluster;
  const agents: AcpProcess[] = [];
  const kubectl = (...args: readonly string[]): Promise<string> => cluster.kubectl(...args);
  const sh = (name: string, line: string): Promise<string> => kubectl("exec", name, "--", "sh", "-c", line);

  before(async function () {
    this.timeout(limit(600_000));
    if (!hasHelm()) skipBecause(this, noHelm);
    if (!hasControlPlane()) skipBecause(this, "no control plane: npm run setup -- cluster builds one, in half an hour");
    if (!hasKubeRouter()) skipBecause(this, "no kube-router: npm run setup -- cluster builds it");
    if (!hasCodingAgents()) skipBecause(this, noAgents);
    const provider = (name: string, kind: string, upstream: string, model: string, keyFile: string): string =>
      `[[llm]]\nname = "${name}"\nkind = "${kind}"\nupstream = "${upstream}"\nvalue_file = "${keyFile}"\nmodels = ["${model}"]\n`;
    cluster = await startFurnishedCluster({
      images: [await codingAgentsImage(image)],
      config: (url, keyFile) => `${provider("claude", "anthropic", url, "claude-sonnet-4-5", keyFile)}
${provider("gpt", "openai", `${url}/v1`, "model-1", keyFile)}
[agents.opencode]
ask = true
`,
    });
    undo.add(() => cluster.remove());
    cluster.models.script = ofLastTurn;
    const router = KubeRouter.start(cluster.plane);
    undo.add(() => router.remove());
    await kubectl("create", "configmap", "forms", `--from-literal=SKILL.md=${skillText("forms", described)}`);
    const serves = shell(`mkdir /www; echo served > /www/index.html; httpd -p 8080 -h /www; ${idle}`);
    const server = { runtimeClassName: "native", containers: [{ name: "main", ...container, command: serves }] };
    await cluster.plane.apply(pod("server", server));
    await cluster.wait("pod/server", "condition=Ready");
  });
  afterEach(async function () {
    for (const agent of agents.splice(0)) agent.kill();
    if (this.currentTest?.state !== "failed") return;
    const said = [
      ["get", "a3sboxes,pods", "-o", "wide"],
      ["get", "events"],
      ["logs", "codex", "--tail=40"],
    ].map((words) => kubectl(...words).catch(String));
    const asked = cluster.models.seen.map(({ method, path, body }) => `${method} ${path} ${body.slice(0, 120)}`);
    process.stderr.write([...(await Promise.all(said)), ...asked, await cluster.daemon.logTail(), ""].join("\n"));
  });
  after(async function () {
    this.timeout(limit(240_000));
    await undo.run();
  });

  /** `kubectl exec -i`, as the guide has it and an editor starts it. */
  const started = async (name: string): Promise<AcpProcess> => {
    const agent = acpProcess(cluster.plane.spawnKubectl("exec", "-i", name, "--", "opencode", "acp"));
    agents.push(agent);
    await agent.request("initialize", { protocolVersion: 1, clientCapabilities: {} }, turnMs);
    return agent;
  };
  /** How often the newest call with tools has told its model of the skill. */
  const timesListed = (): number => {
    const body = cluster.models.seen.findLast((seen) => seen.body.includes('"tools":[{'))?.body ?? "";
    return body.split(described).length - 1;
  };
  const expectNoKey = async (name: string): Promise<void> => {
    const [key = ""] = cluster.models.keys;
    for (const { headers } of cluster.models.seen) expect(headers.join("\n")).to.contain(key);
    const where = "/proc/[0-9]*/environ /proc/[0-9]*/cmdline /home /etc /root /tmp /var /run /dev/shm /workspace";
    // In brackets: the search does not find its own command line.
    expect(await sh(name, `grep -rl '[${key.slice(0, 1)}]${key.slice(1)}' ${where} 2>/dev/null; echo looked`)).to.equal(
      "looked\n",
    );
  };

  it("opencode has a session by kubectl exec -i: prompt, updates, permission, cancel, loaded after the daemon's kill -9", async function () {
    this.timeout(limit(2 * turnMs));
    const name = "opencode";
    await cluster.plane.apply(box(name, { kind: "opencode" }, "claude"));
    await cluster.wait(`a3sbox/${name}`, "condition=Ready");
    const boot = await sh(name, "cat /proc/sys/kernel/random/boot_id");
    const address = await kubectl("get", "pod", "server", "-o", "jsonpath={.status.podIP}");
    expect(await (await fetch(`http://${address}:8080`)).text()).to.equal("served\n");
    await eventually("the policy is in force", 60_000, async () =>
      (await sh(name, `wget -q -O - -T 3 http://${address}:8080 || echo closed`)) === "closed\n" ? true : undefined,
    );

    const beganMs = performance.now();
    const first = await started(name);
    process.stdout.write(`      from kubectl exec -i to the agent's first word: ${seconds(beganMs)} s\n`);
    const sessionId = member(await first.request("session/new", { cwd, mcpServers: [] }, turnMs), "sessionId");
    const prompt = (agent: AcpProcess): number =>
      agent.send("session/prompt", { sessionId, prompt: [{ type: "text", text: "write the file" }] });
    const questions = new AcpQuestions(turnMs);
    const askedMs = performance.now();
    const one = prompt(first);
    questions.allow(first, await questions.asked(first));
    expect(await questions.allowed(first, one)).to.equal("end_turn");
    process.stdout.write(`      a turn with a question: ${seconds(askedMs)} s\n`);
    expect(first.text()).to.contain("The file is there.");
    expect(first.messages.filter(({ method }) => method === "session/update").length).to.be.greaterThan(2);
    expect(await sh(name, `cat ${written.path}`)).to.equal(written.text);
    expect(timesListed()).to.equal(1);

    const two = prompt(first);
    const open = await questions.asked(first);
    first.notify("session/cancel", { sessionId });
    questions.cancel(first, open);
    expect(member(await first.result(two, turnMs), "stopReason")).to.equal("cancelled");

    await sh(name, `rm ${written.path}`);
    prompt(first);
    await questions.asked(first); // it waits for the answer when all is cut off
    await cluster.daemon.stop("SIGKILL");
    try {
      await first.ended();
    } finally {
      await cluster.daemon.launch();
    }
    const second = await eventually("the agent again", turnMs, () => started(name));
    await second.request("session/load", { sessionId, cwd, mcpServers: [] }, turnMs);
    expect(second.text()).to.contain("The file is there.");
    const before = cluster.models.seen.length;
    expect(await new AcpQuestions(turnMs).allowed(second, prompt(second))).to.equal("end_turn");
    expect(await sh(name, `cat ${written.path}`)).to.equal(written.text);
    const told = cluster.models.seen.slice(before).findLast(({ body }) => body.includes('"tools":[{'))?.body ?? "";
    expect(told.split("The file is there.").length, "the model is told of what was before").to.be.greaterThan(1);
    expect(await sh(name, "cat /proc/sys/kernel/random/boot_id")).to.equal(boot);
    await expectNoKey(name);
    await second.finish();
    await kubectl("delete", "a3sbox", name);
  });

  it("codex works on its prompt with the model and the skill that its pod has", async () => {
    const beganMs = performance.now();
    await cluster.plane.apply(box("codex", { kind: "codex", prompt: "write the file" }, "gpt"));
    const finished = 'jsonpath={.status.conditions[?(@.status=="True")].reason}';
    const reason = await eventually("its end", turnMs, async () =>
      /Pod\w+/.exec(await kubectl("get", "a3sbox", "codex", "-o", finished))?.at(0),
    );
    process.stdout.write(`      from kubectl apply to codex' end: ${seconds(beganMs)} s\n`);
    expect(reason).to.equal("PodSucceeded");
    expect(await kubectl("logs", "codex")).to.contain("The file is there.");
    const { path, body } = cluster.models.seen.at(-1) ?? {};
    expect(path).to.equal("/v1/responses");
    expect(body, "what it has run").to.contain("Process exited with code 0");
    expect(timesListed()).to.equal(1);
    await kubectl("delete", "a3sbox", "codex");
  });
});
