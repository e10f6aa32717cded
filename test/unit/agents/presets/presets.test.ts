import { expect } from "chai";
import { parse } from "smol-toml";
import type { AgentBox, Provider } from "../../../../src/agents/presets/preset.js";
import { acpCommand, placesOfSkills, planAgent, presets } from "../../../../src/agents/presets/presets.js";
import { agentKinds, type AgentConfig } from "../../../../src/config/agents.js";

const gateway = "http://127.0.0.1:4089";
const anthropic: Provider = { name: "claude", kind: "anthropic", models: ["claude-*", "claude-sonnet-4-5"] };
const openai: Provider = { name: "gpt", kind: "openai", models: [] };
const box = (...providers: Provider[]): Pick<AgentBox, "providers" | "gateway"> => ({ providers, gateway });
const agent = (kind: AgentConfig["kind"], more: Partial<AgentConfig> = {}): AgentConfig => ({
  ...{ name: kind, kind, ask: false, env: {} },
  ...more,
});

function opencodeConfig(more: Partial<AgentConfig>, ...providers: Provider[]): unknown {
  const { environment } = planAgent(agent("opencode", more), { ...box(...providers), skills: "/skills" });
  return JSON.parse(environment["OPENCODE_CONFIG_CONTENT"] ?? "");
}

describe("presets of coding agents", () => {
  it("are one for each kind of the configuration", () => {
    expect(Object.keys(presets).sort()).to.deep.equal([...agentKinds].sort());
    for (const kind of agentKinds) expect(presets[kind].kind).to.equal(kind);
    expect(placesOfSkills).to.deep.equal(["/etc/codex/skills", "/etc/claude-code/.claude/skills"]);
  });

  it("have opencode find gateway, model and skills by one variable, and no key in it", () => {
    expect(opencodeConfig({}, anthropic, openai)).to.deep.equal({
      ...{ autoupdate: false, share: "disabled", permission: "allow" },
      ...{ model: "anthropic/claude-sonnet-4-5", small_model: "anthropic/claude-sonnet-4-5" },
      skills: { paths: ["/skills"] },
      provider: {
        anthropic: {
          options: { baseURL: "{env:ANTHROPIC_BASE_URL}/v1", apiKey: "{env:ANTHROPIC_API_KEY}" },
          models: { "claude-sonnet-4-5": {} },
        },
        openai: { options: { baseURL: "{env:OPENAI_BASE_URL}", apiKey: "{env:OPENAI_API_KEY}" } },
      },
    });
    expect(opencodeConfig({ ask: true, model: "openai/gpt-5" }, anthropic, openai)).to.deep.include({
      model: "openai/gpt-5",
      permission: { edit: "ask", bash: "ask" },
    });
    expect(opencodeConfig({})).to.deep.include({ provider: {} });
  });

  it("choose the provider that takes the model that is asked for", () => {
    const [other, all]: Provider[] = [{ name: "a", kind: "anthropic", models: ["claude-*"] }, openai];
    if (other === undefined || all === undefined) throw new Error("none");
    expect(opencodeConfig({ model: "gpt-5" }, other, all)).to.deep.include({ model: "openai/gpt-5" });
    expect(opencodeConfig({ model: "meta/llama" }, other, all)).to.deep.include({ model: "openai/meta/llama" });
    expect(opencodeConfig({ model: "anthropic/x" }, other, all)).to.deep.include({ model: "anthropic/x" });
    expect(opencodeConfig({}, other)).not.to.have.property("model");
  });

  it("give codex a file of the machine's that leads to the gateway by the provider's name", () => {
    const { files, environment, command } = planAgent(agent("codex", { model: 'a"b' }), box(anthropic, openai));
    expect([environment, command]).to.deep.equal([{}, ["codex-acp"]]);
    expect(files.map(({ path }) => path)).to.deep.equal(["/etc/codex/config.toml"]);
    expect(parse(files[0]?.content ?? "")).to.deep.include({
      model: 'a"b',
      approval_policy: "never",
      sandbox_mode: "danger-full-access",
      model_provider: "box",
      model_providers: {
        box: { name: "box", base_url: `${gateway}/gpt/v1`, env_key: "OPENAI_API_KEY", wire_api: "responses" },
      },
    });
    const without = planAgent(agent("codex", { ask: true }), box(anthropic)).files[0]?.content ?? "";
    expect(parse(without)).to.include({ approval_policy: "untrusted" }).and.not.to.have.property("model_provider");
  });

  it("have the other agents' variables, a mirror among them, and what the configuration says over all", () => {
    const claude = planAgent(agent("claude-code", { env: { DISABLE_AUTOUPDATER: "0" } }), box(openai, anthropic));
    expect(claude.environment).to.include({ ANTHROPIC_MODEL: "claude-sonnet-4-5", DISABLE_AUTOUPDATER: "0" });
    const a3s = planAgent(agent("a3s_code", { mirror: "https://mirror.example/code" }), box());
    expect(a3s.environment).to.deep.equal({ A3S_CODE_RELEASES_BASE_URL: "https://mirror.example/code" });
    expect(() => acpCommand(a3s)).to.throw("agent a3s_code speaks no ACP (command in [agents.a3s_code]");
    const own = planAgent(agent("custom", { name: "mine", command: ["/bin/agent", "--acp"] }), box());
    expect(acpCommand(own)).to.deep.equal(["/bin/agent", "--acp"]);
  });
});
