import { expect } from "chai";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../../../src/config/load.js";
import type { SandboxesConfig } from "../../../src/config/sandboxes.js";

describe("the configuration of coding agents", () => {
  let directory: string;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "a3s-config-agents-"));
  });
  after(async () => {
    await rm(directory, { recursive: true });
  });

  async function read(text: string): Promise<SandboxesConfig> {
    const config = join(directory, "config.toml");
    await writeFile(config, text);
    return (await loadConfig({ config })).sandboxes;
  }

  const failure = async (text: string): Promise<string> =>
    await read(text).then(
      () => "taken",
      (thrown: unknown) => String(thrown),
    );

  it("has each kind under its own name, and what tables say over that", async () => {
    const { agents, templates } = await read(`
[agents.opencode]
model = "claude-sonnet-4-5"
ask = true
[agents.mine]
kind = "custom"
command = ["/bin/agent"]
[templates.code]
image = "x"
agent = "mine"
skills = ["/srv/skills"]
`);
    expect(Object.keys(agents).sort()).to.deep.equal(["a3s_code", "claude-code", "codex", "mine", "opencode"]);
    expect(agents["opencode"]).to.include({ kind: "opencode", model: "claude-sonnet-4-5", ask: true });
    expect(agents["codex"]).to.deep.equal({ name: "codex", kind: "codex", ask: false, env: {} });
    expect(templates["code"]).to.deep.include({ agent: "mine", skills: ["/srv/skills"] });
  });

  it("refuses what can't be, and says what to do", async () => {
    const cases = [
      ['[templates.a]\nimage = "x"\nagent = "nobody"', /templates\.a\.agent = "nobody" is no agent \(\[agents\.NAME\]/],
      ["[agents.mine]", /agents\.mine has no kind/],
      ['[agents.mine]\nkind = "custom"', /agents\.mine has no command/],
      ['[agents.codex]\nmirror = "https://x.example"', /agents\.codex has a mirror/],
      ['[agents.codex]\nmirror = "file:///etc"', /agents = .* is not allowed/],
      ["[agents.codex]\nport = 1", /agents = .* is not allowed/],
      ["[agents.codex]\ncommand = []", /agents = .* is not allowed/],
      ['[templates.a]\nimage = "x"\nskills = ["../x"]', /templates = .* is not allowed/],
    ] as const;
    for (const [text, wanted] of cases) expect(await failure(text), text).to.match(wanted);
  });
});
