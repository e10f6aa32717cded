/**
 * codex and opencode as they are published, in Boxes that have neither a network nor a key: each finishes a task through the gateway,
 * with its skills. Some minutes in an emulated guest; `npm run setup -- coding-agents` brings the packages, and without them this
 * is skipped.
 */
import { expect } from "chai";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { acpClient, type AcpClient } from "../support/agents/acp-client.js";
import { member } from "../support/agents/acp-conversation.js";
import { AcpQuestions } from "../support/agents/acp-questions.js";
import { putFile, skillText } from "../support/agents/skill-directory.js";
import { makeAuthority, type TestAuthority } from "../support/certificates.js";
import { Daemon } from "../support/daemon.js";
import { imageName } from "../../scripts/images/build.js";
import { hasCodingAgents, noAgents, ofLastTurn, written } from "../support/models/coding-agents.js";
import { startFakeModels, type FakeModels } from "../support/models/fake-models.js";
import { filesWith } from "../support/models/key-search.js";
import { foundInMemory } from "../support/models/found-in-memory.js";
import { vmmPid } from "../support/pods.js";
import { projectDirectory } from "../support/project.js";
import { edgeAnswer } from "../support/sandboxes/edge.js";
import { skipBecause } from "../support/skip.js";
import { eventually, limit } from "../support/wait.js";

const key = "sk-test-cb58a10d5f2c4b0d9d7a6b1f0c3e8a77";
const described = "Forms of PDF, as the test of agents has them";
/** An emulated guest reads 160 MB of a program before it says its first word. */
const turnMs = 800_000;

describe("coding agents in Boxes without a network and without a key", function () {
  this.timeout(limit(900_000));
  let authority: TestAuthority;
  let models: FakeModels;
  let directory: string;
  let daemon: Daemon;

  before(async function () {
    if (!hasCodingAgents()) skipBecause(this, noAgents);
    authority = await makeAuthority();
    models = await startFakeModels(await authority.issue("models", "IP:127.0.0.1"));
    models.keys = [key];
    models.script = ofLastTurn;
    directory = await mkdtemp(join(tmpdir(), "a3s-agents-"));
    await writeFile(join(directory, "key"), key);
    await putFile(join(directory, "skills/pdf-forms/SKILL.md"), skillText("pdf-forms", described));
    const provider = (name: string, model: string): string => `[[llm]]
name = "${name}"
kind = "${name}"
upstream = "${models.url}"
value_file = "${join(directory, "key")}"
ca_file = "${authority.certFile}"
models = ["${model}"]
`;
    const template = (agent: "opencode" | "codex", llm: string): string => `[templates.${agent}]
image = "${imageName(agent)}"
workdir = "/home/user"
llm = ["${llm}"]
agent = "${agent}"
skills = ["${join(directory, "skills")}"]
`;
    const config = `${provider("anthropic", "claude-sonnet-4-5")}${provider("openai", "model-1")}
[sandboxes]
listen = ["unix://${join(directory, "edge.sock")}"]
network = "none"
[agents.opencode]
ask = true
${template("opencode", "anthropic")}${template("codex", "openai")}`;
    daemon = await Daemon.start({ config });
    // As their users have it: images from npm's packages, made by the command.
    const images = join(directory, "images");
    const make = [join(projectDirectory, "scripts/images.mjs"), "opencode", "codex", "--out", images];
    await promisify(execFile)(process.execPath, make, { cwd: projectDirectory });
    for (const agent of ["opencode", "codex"]) {
      const done = await daemon.command("image import", join(images, `${agent}.tar`));
      expect(done.status, done.stderr).to.equal(0);
    }
  });

  after(async () => {
    if (!hasCodingAgents()) return;
    await daemon.remove();
    await models.stop();
    await authority.remove();
    await rm(directory, { recursive: true });
  });

  async function edge(method: string, path: string, value?: unknown): Promise<unknown> {
    return await edgeAnswer(join(directory, "edge.sock"), method, path, value);
  }

  async function made(template: string): Promise<{ readonly id: string; readonly podId: string }> {
    const view = await edge("POST", "/v1/sandboxes", { template, life_ms: 7_200_000 });
    const [id, podId] = [member(view, "id"), member(view, "pod_id")];
    if (typeof id !== "string" || typeof podId !== "string") throw new Error(JSON.stringify(view));
    await sh(id, "mkdir work"); // the user's own
    return { id, podId };
  }

  async function sh(id: string, command: string, user = ""): Promise<string> {
    const answer = await edge("POST", `/v1/sandboxes/${id}/run`, { command, user, limit_ms: turnMs });
    const [stdout, stderr] = [String(member(answer, "stdout")), String(member(answer, "stderr"))];
    if (member(answer, "exit_code") !== 0)
      throw new Error(`${command}: ${JSON.stringify(answer).slice(0, 200)} ${stderr}`);
    return stdout;
  }

  /** How often the newest call with tools has told its model of the skill. */
  function timesListed(): number {
    const body = models.seen.findLast((seen) => seen.body.includes('"tools":[{'))?.body ?? "";
    return body.split(described).length - 1;
  }

  async function checkNoKey({ id, podId }: { readonly id: string; readonly podId: string }): Promise<void> {
    for (const { headers } of models.seen) expect(headers.join("\n")).to.contain(key);
    // Of the memory first: what looks through files has what it looks for in its own.
    await sh(id, `cp ${written.path} /dev/shm/made`);
    expect(await foundInMemory(await vmmPid(daemon, { id: podId }), [key, written.text])).to.deep.equal([written.text]);
    // That the search finds what there is shows in the file that the agent has written, and in its environment.
    const found = (await sh(id, filesWith(key, written.text, "ANTHROPIC_API_KEY=", "OPENAI_API_KEY="), "root")).split(
      "\n",
    );
    expect(found).to.include(written.path);
    expect(found.filter((path) => /^\/proc\/\d+\/environ$/.test(path))).to.not.be.empty;
    expect(await sh(id, filesWith(key), "root")).to.equal("");
  }

  it("codex writes the file that its model tells it to, has its skill listed once, and the key is nowhere", async () => {
    const box = await made("codex");
    try {
      await sh(box.id, `codex exec --skip-git-repo-check 'write the file' < /dev/null`);
      expect(await sh(box.id, `cat ${written.path}`)).to.equal(written.text);
      expect(timesListed()).to.equal(1);
      await checkNoKey(box);
    } finally {
      await edge("DELETE", `/v1/sandboxes/${box.id}`);
    }
  });

  it("opencode does the same by ACP: prompt, updates, permission, cancel, and on after the daemon's kill -9", async () => {
    const box = await made("opencode");
    const clients: AcpClient[] = [];
    const connected = async (query = ""): Promise<AcpClient> => {
      const client = await acpClient(`ws+unix://${join(directory, "edge.sock")}:/v1/sandboxes/${box.id}/acp${query}`);
      clients.push(client);
      return client;
    };
    try {
      const first = await connected();
      await first.request("initialize", { protocolVersion: 1, clientCapabilities: {} }, turnMs);
      const session = await first.request("session/new", { cwd: "/home/user", mcpServers: [] }, turnMs);
      const sessionId = member(session, "sessionId");
      const prompt = (): number =>
        first.send("session/prompt", { sessionId, prompt: [{ type: "text", text: "write the file" }] });
      const questions = new AcpQuestions(turnMs);

      const one = prompt();
      questions.allow(first, await questions.asked(first));
      expect(await questions.allowed(first, one)).to.equal("end_turn");
      expect(first.text()).to.contain("The file is there.");
      expect(first.messages.filter(({ method }) => method === "session/update").length).to.be.greaterThan(2);
      expect(await sh(box.id, `cat ${written.path}`)).to.equal(written.text);
      expect(timesListed()).to.equal(1);

      const two = prompt();
      const open = await questions.asked(first);
      first.notify("session/cancel", { sessionId });
      questions.cancel(first, open);
      expect(member(await first.result(two, turnMs), "stopReason")).to.equal("cancelled");

      await sh(box.id, `rm ${written.path}`);
      const three = prompt();
      const pending = await questions.asked(first);
      await daemon.stop("SIGKILL");
      await first.closed();
      await daemon.launch();
      const query = `?process=${String(first.process)}&from=${String(first.offset())}`;
      const second = await eventually("the agent again", 60_000, () => connected(query));
      questions.allow(second, pending);
      expect(await questions.allowed(second, three)).to.equal("end_turn");
      expect(await sh(box.id, `cat ${written.path}`)).to.equal(written.text);
      await checkNoKey(box);
    } finally {
      for (const { socket } of clients) socket.terminate();
      await edge("DELETE", `/v1/sandboxes/${box.id}`);
    }
  });
});
