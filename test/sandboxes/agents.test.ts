/** Skills, and a coding agent of our own by ACP, in real Boxes: sandboxes of the agents' edge, and pods of CRI. */
import { expect } from "chai";
import { execFile } from "node:child_process";
import { copyFile, mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { Sandbox } from "../../sdk/typescript/src/index.js";
import { acpClient, type AcpClient } from "../support/agents/acp-client.js";
import { member } from "../support/agents/acp-conversation.js";
import { project, putFile, skillText } from "../support/agents/skill-directory.js";
import { runtime } from "../support/cri-client.js";
import { Daemon } from "../support/daemon.js";
import { busybox, busyboxImage } from "../support/images.js";
import { removePod, runPod, startContainer } from "../support/pods.js";
import { projectDirectory } from "../support/project.js";
import { edgeAnswer } from "../support/sandboxes/edge.js";
import { eventually, limit } from "../support/wait.js";

const places = ["/skills", "/etc/codex/skills", "/etc/claude-code/.claude/skills"];

describe("coding agents in Boxes", function () {
  this.timeout(limit(120_000));
  let directory: string;
  let daemon: Daemon;
  let id: string;

  const at = (path: string): string => join(directory, path);

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "a3s-b-agents-"));
    await mkdir(at("allowed/agent"), { recursive: true });
    await copyFile(join(projectDirectory, "test/support/agents/fake-agent.sh"), at("allowed/agent/fake.sh"));
    await putFile(at("skills/pdf/SKILL.md"), skillText("pdf"));
    await putFile(at("skills/broken/SKILL.md"), "no front matter");
    await mkdir(at("config-map"));
    await project(at("config-map"), { "SKILL.md": skillText("forms"), "scripts__fill.sh": "echo filled" }, "1");
    const config = `
[handlers.agents]
annotations = ["skills"]
[sandboxes]
listen = ["unix://${at("edge.sock")}"]
vcpus = 1
memory_mib = 256
network = "none"
mounts = ["${at("allowed")}"]
[agents.fake]
kind = "custom"
command = ["sh", "/agent/fake.sh"]
env = { OF_THE_AGENT = "1" }
[templates.agent]
image = "${busyboxImage}"
workdir = "/workspace"
agent = "fake"
skills = ["${at("skills")}", "${at("config-map")}"]
[templates.codex]
image = "${busyboxImage}"
agent = "codex"
`;
    daemon = await Daemon.start({ images: [await busybox()], config });
    const mounts = [{ host_path: at("allowed/agent"), path: "/agent", readonly: true }];
    const made = await edge("POST", "/v1/sandboxes", { template: "agent", mounts, life_ms: 3_600_000 });
    id = String(member(made, "id"));
    expect(id, JSON.stringify(made)).to.match(/^[a-z0-9]{20}$/);
    expect(member(made, "agent")).to.deep.equal({ name: "fake", kind: "custom", command: ["sh", "/agent/fake.sh"] });
    expect(member(made, "mounts")).to.deep.equal(mounts);
  });

  after(async () => {
    await edge("DELETE", `/v1/sandboxes/${id}`); // one test alone may have left it
    await daemon.remove();
    await rm(directory, { recursive: true });
  });

  async function edge(method: string, path: string, value?: unknown): Promise<unknown> {
    return await edgeAnswer(at("edge.sock"), method, path, value);
  }

  const run = async (command: string, sandbox = id): Promise<string> =>
    String(member(await edge("POST", `/v1/sandboxes/${sandbox}/run`, { command }), "stdout"));

  it("a sandbox has its template's skills where agents look, each once, and can't write there", async () => {
    const found = await run(`find ${places.join(" ")} -type f | sort`);
    const files = ["forms/SKILL.md", "forms/scripts/fill.sh", "pdf/SKILL.md"];
    expect(found.trim().split("\n")).to.deep.equal(
      places.flatMap((one) => files.map((file) => `${one}/${file}`)).sort(),
    );
    expect(await run("/skills/forms/scripts/fill.sh 2>&1; sh /skills/forms/scripts/fill.sh")).to.contain("filled");
    expect(
      await run("echo x > /skills/pdf/SKILL.md; rm -r /skills/pdf; mkdir /skills/new; cat /skills/pdf/SKILL.md"),
    ).to.equal(skillText("pdf"));
    const env = await run("env");
    expect(env).to.contain('OPENCODE_CONFIG_CONTENT={"skills":{"paths":["/skills"]}}').and.to.contain("OF_THE_AGENT=1");
  });

  it("names a broken one, by the port and in the verbose status", async () => {
    const told = member(await edge("GET", `/v1/sandboxes/${id}/skills`), "skills");
    expect(told).to.deep.include({ name: "pdf", description: "what pdf is for", from: at("skills") });
    expect(JSON.stringify(told)).to.contain('"name":"broken","problem":"its front matter does not begin with');
    const podSandboxId = String(member(await edge("GET", `/v1/sandboxes/${id}`), "pod_id"));
    const { info } = await daemon.cri.call(runtime.podSandboxStatus, { podSandboxId, verbose: true });
    expect(member(JSON.parse(info["info"] ?? ""), "skills")).to.deep.equal(told);
  });

  it("skills come, change and go while it runs, by a ConfigMap's swap too", async () => {
    await putFile(at("skills/broken/SKILL.md"), skillText("broken"));
    await project(at("config-map"), { "SKILL.md": skillText("forms", "anew"), references__a: "A" }, "2");
    const seen = async (): Promise<string> => await run("cat /skills/*/SKILL.md; ls /skills/forms");
    await eventually("the changes in the Box", 30_000, async () => {
      const text = await seen();
      return text.includes("anew") && text.includes("# broken") && text.includes("references") ? true : undefined;
    });
    await eventually("what has gone", 30_000, async () => ((await seen()).includes("scripts") ? undefined : true));
  });

  it("a client's directories are read within what its tenant may mount, and no link leads out", async () => {
    await putFile(at("secret/SKILL.md"), skillText("secret"));
    await putFile(at("allowed/mine/good/SKILL.md"), skillText("good"));
    await putFile(at("allowed/mine/leak/SKILL.md"), skillText("leak"));
    await symlink(at("secret/SKILL.md"), at("allowed/mine/leak/more.md"));
    await symlink("../../../secret", at("allowed/mine/outside"));
    await symlink("/etc", at("allowed/mine/etc"));
    const refused = await edge("POST", "/v1/sandboxes", { template: "codex", skills: [at("secret")] });
    expect(member(refused, "code")).to.equal("PERMISSION_DENIED");
    const unknown = await edge("POST", "/v1/sandboxes", { template: "codex", agent: "nobody" });
    expect(JSON.stringify(unknown)).to.contain("NOT_FOUND").and.to.contain("agents: opencode, codex");
    const made = await edge("POST", "/v1/sandboxes", { template: "codex", skills: [at("allowed/mine")] });
    const other = String(member(made, "id"));
    try {
      expect(await run("cd /skills; find . -type f; cat /etc/codex/config.toml", other)).to.match(
        /^\.\/good\/SKILL\.md\napproval_policy = "never"\n/,
      );
      const told = JSON.stringify(await edge("GET", `/v1/sandboxes/${other}/skills`));
      expect(told).to.contain('"name":"leak","problem":"more.md: ').and.to.contain('"name":"outside","problem":"');
      expect(told).not.to.contain("what secret is for");
    } finally {
      await edge("DELETE", `/v1/sandboxes/${other}`);
    }
  });

  it("a pod has the ConfigMaps that its annotation names, also those that change while no daemon runs", async () => {
    const uid = "5f0c1d1e-0000-4000-8000-000000000001";
    const volumes = at(`kubelet/pods/${uid}/volumes/kubernetes.io~configmap`);
    for (const name of ["pdf", "other"]) {
      await mkdir(join(volumes, name), { recursive: true });
      await project(join(volumes, name), { "SKILL.md": skillText(name), scripts__a__b: "1" }, "1");
    }
    const metadata = { name: "skilled", uid, namespace: "test", attempt: 0 };
    const annotations = { "a3s.dev/skills": "pdf" };
    const pod = await runPod(daemon, { metadata, annotations }, "agents");
    const mounts = ["pdf", "other"].map((name) => ({
      ...{ hostPath: join(volumes, name), containerPath: `/given/${name}`, readonly: true },
    }));
    const containerId = await startContainer(daemon, pod, { mounts });
    const sh = async (script: string): Promise<string> => {
      const { stdout } = await daemon.cri.call(runtime.execSync, {
        containerId,
        cmd: ["sh", "-c", script],
        timeout: 60n,
      });
      return Buffer.from(stdout).toString();
    };
    expect(await sh("cd /skills; find . -type f | sort")).to.equal("./pdf/SKILL.md\n./pdf/scripts/a/b\n");
    expect(await sh("cat /etc/codex/skills/pdf/SKILL.md; env"))
      .to.contain("# pdf")
      .and.to.contain("OPENCODE_CONFIG");
    await daemon.stop("SIGKILL");
    await project(join(volumes, "pdf"), { "SKILL.md": skillText("pdf", "after the kill") }, "2");
    await daemon.launch();
    await eventually("the swap that nobody saw", 30_000, async () =>
      (await sh("cat /skills/pdf/SKILL.md")).includes("after the kill") ? true : undefined,
    );
    await removePod(daemon, pod);
    const wrong = await runPod(daemon, { annotations }, "").catch(String);
    expect(wrong).to.contain("annotation a3s.dev/skills is not allowed by the pod's handler");
  });

  describe("by ACP", () => {
    let clients: AcpClient[] = [];
    afterEach(() => {
      for (const { socket } of clients) socket.terminate();
      clients = [];
    });

    async function connected(query = ""): Promise<AcpClient> {
      const client = await acpClient(`ws+unix://${at("edge.sock")}:/v1/sandboxes/${id}/acp${query}`);
      clients.push(client);
      return client;
    }
    const prompt = (text: string): object => ({ sessionId: "session-1", prompt: [{ type: "text", text }] });

    it("a session is prompts, updates, questions and cancels, and goes on at the very message after the daemon's kill -9", async () => {
      const first = await connected();
      await first.request("initialize", { protocolVersion: 1, clientCapabilities: {} });
      await first.request("session/new", { cwd: "/workspace", mcpServers: [] });
      const asked = first.send("session/prompt", prompt("ask"));
      await eventually("its question", 20_000, () =>
        first.messages.find(({ method }) => method === "session/request_permission"),
      );
      first.answer("question-1", { outcome: { outcome: "selected", optionId: "yes" } });
      expect(await first.result(asked)).to.deep.equal({ stopReason: "end_turn" });
      expect(await run("cat made-by-an-agent.txt")).to.equal("written\n");
      const waiting = first.send("session/prompt", prompt("wait"));
      await eventually("its update", 20_000, () => (first.text().includes("waiting") ? true : undefined));
      first.notify("session/cancel", { sessionId: "session-1" });
      expect(await first.result(waiting)).to.deep.equal({ stopReason: "cancelled" });

      const counting = first.send("session/prompt", prompt("count 100"));
      await eventually("some numbers", 20_000, () => (first.text().includes(" 9 ") ? true : undefined));
      await daemon.stop("SIGKILL");
      await first.closed();
      await daemon.launch();
      const query = `?process=${String(first.process)}&from=${String(first.offset())}`;
      const second = await eventually("the agent again", 60_000, () => connected(query));
      await second.result(counting, 60_000);
      const all = `${first.text()}${second.text()}`
        .replace(/^.*waiting/, "")
        .trim()
        .split(" ");
      expect(all).to.deep.equal(Array.from({ length: 100 }, (_none, number) => String(number + 1)));
      second.socket.close(1000);
      await eventually("the agent's end", 20_000, async () =>
        (await run("ps")).includes("/agent/fake.sh") ? undefined : true,
      );
    });

    it("our SDK has prompts with updates, permission and cancel, over the daemon's kill -9 too", async () => {
      const sandbox = await Sandbox.connect(id, { endpoint: `unix://${at("edge.sock")}` });
      expect((await sandbox.getInfo()).agent?.name).to.equal("fake");
      const { agent } = sandbox;
      const questions: string[] = [];
      const onPermission = ({ options }: { readonly options: readonly { optionId: string }[] }): string => {
        questions.push(...options.map(({ optionId }) => optionId));
        return "no";
      };
      const kinds: string[] = [];
      const onUpdate = ({ sessionUpdate }: { readonly sessionUpdate: string }): void => {
        kinds.push(sessionUpdate);
      };
      const left = await agent.prompt("ask", { onPermission, onUpdate });
      expect(left).to.deep.equal({ stopReason: "end_turn", text: "left it" });
      expect([questions, kinds]).to.deep.equal([["yes", "no"], ["agent_message_chunk"]]);
      const stop = new AbortController();
      const waiting = agent.prompt("wait", {
        signal: stop.signal,
        onText: () => {
          stop.abort(new Error("enough"));
        },
      });
      expect(await waiting.catch(String)).to.equal("Error: enough");
      let killed: Promise<void> | undefined;
      const counted = await agent.prompt("count 60", {
        onText: (text) => {
          if (text === "9 ") killed = daemon.stop("SIGKILL").then(() => daemon.launch());
        },
      });
      await killed;
      expect(counted.text.trim().split(" ")).to.deep.equal(Array.from({ length: 60 }, (_none, at) => String(at + 1)));
      const ended = await agent.prompt("exit").catch(String);
      expect(ended).to.contain("the agent has ended: no model answers");
      await agent.close();
      expect((await agent.prompt("again")).text).to.equal("you said: again");
      await agent.close();
    });
  });

  describe("at its end", () => {
    it("what was made for a sandbox goes with it", async () => {
      const podId = String(member(await edge("GET", `/v1/sandboxes/${id}`), "pod_id"));
      await edge("DELETE", `/v1/sandboxes/${id}`);
      await eventually("nothing left", 20_000, async () =>
        (await promisify(execFile)("find", [join(daemon.state, "skills"), "-name", podId])).stdout === ""
          ? true
          : undefined,
      );
    });
  });
});
