/**
 * A coding agent in a cluster, as the guide's own commands have it: the chart by helm with its operator in a pod, an A3sBox by
 * `kubectl apply`, ACP by `kubectl exec -i`. Skipped without what `npm run setup -- cluster` builds.
 */
import { readFile } from "node:fs/promises";
import { expect } from "chai";
import { acpProcess, type AcpProcess } from "../support/agents/acp-process.js";
import { member } from "../support/agents/acp-conversation.js";
import { skillText } from "../support/agents/skill-directory.js";
import { hasControlPlane } from "../support/control-plane.js";
import { hasHelm, noHelm } from "../support/deploy/helm.js";
import {
  agentImageName,
  exampleFile,
  startFurnishedCluster,
  type FurnishedCluster,
} from "../support/furnished-cluster.js";
import { skipBecause } from "../support/skip.js";
import { eventually, limit } from "../support/wait.js";

const sessionId = "session-1";
const prompt = (text: string): object => ({ sessionId, prompt: [{ type: "text", text }] });
const seconds = (sinceMs: number): string => ((performance.now() - sinceMs) / 1000).toFixed(1);

describe("A coding agent in a cluster", function () {
  this.timeout(limit(240_000));
  let cluster: FurnishedCluster;
  const agents: AcpProcess[] = [];
  const kubectl = (...args: readonly string[]): Promise<string> => cluster.kubectl(...args);

  before(async function () {
    this.timeout(limit(600_000));
    if (!hasHelm()) skipBecause(this, noHelm);
    if (!hasControlPlane()) skipBecause(this, "no control plane: npm run setup -- cluster builds one, in half an hour");
    const beganMs = performance.now();
    cluster = await startFurnishedCluster();
    process.stdout.write(`      from nothing to the chart's operator at work: ${seconds(beganMs)} s\n`);
  });
  afterEach(async function () {
    for (const agent of agents.splice(0)) agent.kill();
    if (this.currentTest?.state !== "failed") return;
    const said = ["a3sboxes,pods", "events"].map((what) => kubectl("get", what, "-A", "-o", "wide").catch(String));
    process.stderr.write(`${(await Promise.all(said)).join("\n")}\n${await cluster.daemon.logTail()}\n`);
  });
  after(async function () {
    this.timeout(limit(240_000));
    await (cluster as FurnishedCluster | undefined)?.remove();
  });

  const condition = (name: string, type: string): Promise<string> =>
    kubectl("get", "a3sbox", name, "-o", `jsonpath={.status.conditions[?(@.type=="${type}")].reason}`);

  it("is Ready by the example's ten lines, and works on what it is given with its model, whose key it has not", async () => {
    const beganMs = performance.now();
    await kubectl("apply", "-f", exampleFile);
    await cluster.wait("a3sbox/agent", "condition=Ready");
    process.stdout.write(`      from kubectl apply to an agent that is Ready: ${seconds(beganMs)} s\n`);
    const said = await kubectl("exec", "agent", "--", "agent", "fix the build");
    expect(said).to.contain("task: fix the build").and.contain("Hello from a model.");
    const [key = ""] = cluster.models.keys;
    const asked = cluster.models.seen.at(-1);
    expect(asked?.headers).to.include(`Bearer ${key}`);
    expect(asked?.body).to.contain("fix the build");
    const all = await kubectl("exec", "agent", "--", "sh", "-c", "env; cat /proc/*/environ /proc/*/cmdline; true");
    expect(all).to.contain("OPENAI_API_KEY=").and.not.contain(key);
    expect(await kubectl("exec", "agent", "--", "uname", "-r")).to.not.equal(
      await readFile("/proc/sys/kernel/osrelease", "utf8"),
    );
  });

  it("finishes a task with a skill of a ConfigMap, and is told of where it fails", async () => {
    await kubectl("create", "configmap", "skill-review", `--from-literal=SKILL.md=${skillText("review")}`);
    const box = (name: string, command: readonly string[], more: object = {}): object => ({
      ...{ apiVersion: "a3s.dev/v1alpha1", kind: "A3sBox", metadata: { name } },
      spec: {
        ...{ mode: "cri", runtimeClassName: "agents", image: agentImageName, llmConfig: { providers: ["fake"] } },
        codingAgent: { kind: "custom", command, prompt: "review it" },
        resources: { cpus: "500m" },
        ...more,
      },
    });
    const skills = [{ name: "review", configMapRef: { name: "skill-review" } }];
    const beganMs = performance.now();
    await cluster.plane.apply(
      box("task", ["sh", "-c", 'cat /skills/review/SKILL.md; exec agent "$0"'], { skills }),
      box("fails", ["sh", "-c", "echo no such tool >&2; exit 3"]),
    );
    await cluster.wait("a3sbox/task", "condition=Finished");
    process.stdout.write(`      from kubectl apply to a task that is finished: ${seconds(beganMs)} s\n`);
    expect(await kubectl("logs", "task"))
      .to.contain("# review")
      .and.contain("task: review it")
      .and.contain("Hello");
    await cluster.wait("a3sbox/fails", "condition=Finished");
    expect([await condition("task", "Finished"), await condition("fails", "Finished")]).to.deep.equal([
      "PodSucceeded",
      "PodFailed",
    ]);
    await kubectl("delete", "a3sbox", "task", "fails");
    expect(await kubectl("get", "pods", "task", "fails", "--ignore-not-found")).to.equal("");
  });

  /** `kubectl exec -i`, as an editor starts it. */
  const started = async (before: readonly string[] = []): Promise<AcpProcess> => {
    const agent = acpProcess(cluster.plane.spawnKubectl("exec", "-i", "agent", "--", ...before, "agent", "acp"));
    agents.push(agent);
    await agent.request("initialize", { protocolVersion: 1, clientCapabilities: {} }, 60_000);
    return agent;
  };

  for (const websockets of ["true", "false"]) {
    it(`is spoken to by ACP through kubectl exec -i: prompts, updates, a question, a cancel (WebSocket: ${websockets})`, async () => {
      process.env["KUBECTL_REMOTE_COMMAND_WEBSOCKETS"] = websockets;
      try {
        const agent = await started();
        expect(member(await agent.request("session/new", { cwd: "/workspace", mcpServers: [] }), "sessionId")).to.equal(
          sessionId,
        );
        expect(await agent.request("session/prompt", prompt("hello"))).to.deep.equal({ stopReason: "end_turn" });
        expect(agent.text()).to.equal("you said: hello");
        const asked = agent.send("session/prompt", prompt("ask"));
        await eventually("its question", 30_000, () =>
          agent.messages.find(({ method }) => method === "session/request_permission"),
        );
        agent.answer("question-1", { outcome: { outcome: "selected", optionId: "yes" } });
        expect(await agent.result(asked)).to.deep.equal({ stopReason: "end_turn" });
        expect(await kubectl("exec", "agent", "--", "cat", "made-by-an-agent.txt")).to.equal("written\n");
        const counting = await agent.request("session/prompt", prompt("count 20"), 60_000);
        expect(counting).to.deep.equal({ stopReason: "end_turn" });
        expect(agent.text()).to.match(/1 2 3 .* 19 20 $/);
        const waiting = agent.send("session/prompt", prompt("wait"));
        await eventually("its update", 30_000, () => (agent.text().includes("waiting") ? true : undefined));
        agent.notify("session/cancel", { sessionId });
        expect(await agent.result(waiting)).to.deep.equal({ stopReason: "cancelled" });
        expect(await agent.finish()).to.equal(0);
        expect(agent.errors()).to.contain("fake agent at /workspace");
      } finally {
        delete process.env["KUBECTL_REMOTE_COMMAND_WEBSOCKETS"];
      }
    });
  }

  it("loads its session in another kubectl exec -i after the daemon's kill -9, and its microVM is the same", async () => {
    const boot = async (): Promise<string> =>
      await kubectl("exec", "agent", "--", "cat", "/proc/sys/kernel/random/boot_id");
    const before = await boot();
    const keep = ["env", "SESSIONS=/workspace"];
    const first = await started(keep);
    await first.request("session/new", { cwd: "/workspace", mcpServers: [] });
    await first.request("session/prompt", prompt("remember this"));
    await cluster.daemon.stop("SIGKILL");
    try {
      // kubectl takes an end without a word for a good one.
      await first.ended();
    } finally {
      await cluster.daemon.launch();
    }
    const second = await eventually("the agent again", 60_000, () => started(keep));
    await second.request("session/load", { sessionId, cwd: "/workspace", mcpServers: [] });
    expect(second.text()).to.equal("remember this, ");
    expect(await second.request("session/prompt", prompt("and this"))).to.deep.equal({ stopReason: "end_turn" });
    expect(await second.finish()).to.equal(0);
    expect(await boot()).to.equal(before);
  });

  it("leaves nothing on the node when it is deleted", async () => {
    await kubectl("delete", "a3sbox", "agent");
    expect(await kubectl("get", "pods", "-o", "name")).to.equal("");
  });
});
