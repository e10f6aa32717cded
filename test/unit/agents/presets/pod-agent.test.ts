import { expect } from "chai";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { agentOfPod, type KnownAgents } from "../../../../src/agents/presets/pod-agent.js";
import { AgentFiles, withAgent } from "../../../../src/agents/presets/with-agent.js";
import { agentsOf } from "../../../../src/config/agents.js";
import type { ContainerSpec } from "../../../../src/runtime/container/container-spec.js";

const known: KnownAgents = {
  agents: agentsOf({ opencode: { ask: true, env: { OF_THE_TABLE: "1" } } }),
  llm: [
    { name: "gpt", kind: "openai", models: ["model-1"] },
    { name: "claude", kind: "anthropic", models: ["claude-*", "claude-sonnet-4-5"] },
  ],
  gateway: "http://127.0.0.1:4089",
};
const annotated = (agent: string, llm?: string): Parameters<typeof agentOfPod>[0] => ({
  annotations: { "a3s.dev/agent": agent, ...(llm === undefined ? {} : { "a3s.dev/llm": llm }) },
});

describe("the coding agent of a pod", () => {
  it("is configured for the providers that the pod has, and for no others", () => {
    const { environment } = agentOfPod(annotated("opencode", "claude"), known) ?? {};
    const config: unknown = JSON.parse(environment?.["OPENCODE_CONFIG_CONTENT"] ?? "");
    expect(config).to.deep.include({
      model: "anthropic/claude-sonnet-4-5",
      permission: { edit: "ask", bash: "ask" },
      skills: { paths: ["/skills"] },
    });
    expect(JSON.stringify(config)).to.contain("{env:ANTHROPIC_BASE_URL}/v1").and.not.contain("OPENAI");
    expect(environment).to.include({ OF_THE_TABLE: "1" });
  });

  it("has its file where its kind reads one", () => {
    const [file] = agentOfPod(annotated("codex", "claude, gpt"), known)?.files ?? [];
    expect(file?.path).to.equal("/etc/codex/config.toml");
    expect(file?.content).to.contain('model = "model-1"').and.to.contain("http://127.0.0.1:4089/gpt/v1");
  });

  it("is none where nothing asks for it, and in a sandbox of the agents' edge", () => {
    expect(agentOfPod({ annotations: {} }, known)).to.equal(undefined);
    expect(agentOfPod({ ...annotated("opencode", "gpt"), madeFor: "agents" }, known)).to.equal(undefined);
  });

  it("is refused where there is no such agent, and where it would have no model", () => {
    expect(() => agentOfPod(annotated("nobody", "gpt"), known)).to.throw(
      'annotation a3s.dev/agent: "nobody" is not known (agents: opencode, codex, claude-code, a3s_code)',
    );
    expect(() => agentOfPod(annotated("toString", "gpt"), known)).to.throw("is not known");
    expect(() => agentOfPod(annotated("codex"), known)).to.throw("codex would have no model");
  });
});

describe("a container of a pod with an agent", () => {
  const plain = { env: [{ name: "A", value: "its own" }], mounts: [] } as unknown as ContainerSpec;
  let directory: string;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "a3s-agent-files-"));
  });
  after(async () => {
    await rm(directory, { recursive: true });
  });

  it("has the agent's variables and files, one file for all that say the same, and keeps what it sets itself", async () => {
    const files = new AgentFiles(join(directory, "agents"));
    const agent = {
      environment: { A: "of the agent", B: "b" },
      files: [{ path: "/etc/codex/config.toml", content: "x = 1\n" }],
    };
    const made = await Promise.all([withAgent(plain, agent, files), withAgent(plain, agent, files)]);
    const again = await withAgent(plain, agent, new AgentFiles(join(directory, "agents")));
    for (const { env, mounts } of [...made, again]) {
      expect(env).to.deep.equal([
        { name: "A", value: "its own" },
        { name: "B", value: "b" },
      ]);
      const [mount] = mounts;
      expect(mount).to.include({ containerPath: "/etc/codex/config.toml", readonly: true });
      expect(await readFile(mount?.hostPath ?? "", "utf8")).to.equal("x = 1\n");
    }
    expect(await readdir(join(directory, "agents"))).to.have.length(1);
    const own = { ...plain, mounts: made[0].mounts };
    expect((await withAgent(own, agent, files)).mounts).to.deep.equal(own.mounts);
  });
});
