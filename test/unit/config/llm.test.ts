import { expect } from "chai";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as z from "zod";
import { llmConfigSchema, llmOf, llmSettings } from "../../../src/config/llm.js";
import { checkGranted, namesIn } from "../../../src/config/llm-grants.js";
import { configOf, loadConfig, parseFile } from "../../../src/config/load.js";
import { projectDirectory } from "../../support/project.js";

const secret = "sk-should-not-be-shown";

function fromToml(text: string) {
  return configOf(parseFile(text, "a.toml")).llm;
}

function fromJson(value: unknown) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return llmOf((name, { standard }) => standard, { path: "/etc/a3s/llm-config.json", text });
}

function messageOf(run: () => unknown): string {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof Error) return thrown.message;
  }
  return "nothing was thrown";
}

const plain = { name: "anthropic", kind: "anthropic", upstream: "https://api.anthropic.com" };

describe("who may have a model", () => {
  const llm = [
    { name: "one", tenants: ["*"] },
    { name: "two", tenants: ["team-*", "_local"] },
  ];

  it("is said by names with commas between them, each once, in their order", () => {
    expect(namesIn(" two, one,,two ")).to.deep.equal(["two", "one"]);
    expect(namesIn("")).to.deep.equal([]);
  });

  it("is who the provider's tenants name, and nobody else", () => {
    for (const tenant of ["team-a", "_local"])
      expect(
        messageOf(() => {
          checkGranted(["one", "two"], tenant, llm);
        }),
      ).to.contain("nothing");
    expect(
      messageOf(() => {
        checkGranted(["two"], "other", llm);
      }),
    ).to.match(/"two" may not be had by other/);
    expect(
      messageOf(() => {
        checkGranted(["three"], "team-a", llm);
      }),
    ).to.match(/no model's provider is called "three"/);
    expect(
      messageOf(() => {
        checkGranted(
          Array.from({ length: 33 }, () => "one"),
          "a",
          llm,
        );
      }),
    ).to.contain("too many");
  });
});

describe("the configuration of models", () => {
  it("is a table for each provider, with usual limits where it says nothing", () => {
    const [anthropic, local] = fromToml(`
[[llm]]
name = "anthropic"
kind = "anthropic"
upstream = "https://api.anthropic.com/"
value_file = "/run/secrets/llm/anthropic"
models = ["claude-*"]
box = { tokens_a_minute = 1000 }
[[llm]]
name = "local"
kind = "openai"
upstream = "http://models.example:8000"
`);
    expect(anthropic).to.deep.include({
      upstream: "https://api.anthropic.com",
      key: { file: "/run/secrets/llm/anthropic", isJson: false },
      keyHeader: "x-api-key",
      models: ["claude-*"],
      tenants: ["*"],
      box: { requestsAMinute: 600, tokensAMinute: 1000, concurrent: 32 },
    });
    expect(local).to.deep.include({
      upstream: "http://models.example:8000/v1",
      key: undefined,
      keyHeader: "authorization",
    });
  });

  it("is the same as JSON, whose keys are in no object of the daemon's", () => {
    const config = fromJson({ version: 1, providers: [{ ...plain, value: secret }] });
    expect(config[0]?.key).to.deep.equal({ file: "/etc/a3s/llm-config.json", isJson: true });
    expect(JSON.stringify(config)).not.to.contain(secret);
  });

  it("is read from a file that is there, and missed only where somebody has named it", async () => {
    const directory = await mkdtemp(join(tmpdir(), "a3s-llm-config-"));
    const toml = join(directory, "config.toml");
    const json = join(directory, "llm-config.json");
    try {
      await writeFile(toml, `llm_config = "${json}"\n`);
      const failed = await loadConfig({ config: toml }).catch((thrown: unknown) => thrown);
      expect(failed).to.match(/read llm_config: ENOENT/);
      await writeFile(json, JSON.stringify({ version: 1, providers: [plain] }));
      expect((await loadConfig({ config: toml })).llm.map(({ name }) => name)).to.deep.equal(["anthropic"]);
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  for (const [what, value, wanted] of [
    ["no JSON", `{"value": "${secret}"`, /llm-config\.json is not JSON/],
    ["another version", { version: 2, providers: [] }, /version: Invalid input: expected 1/],
    [
      "a member that is unknown",
      { version: 1, providers: [{ ...plain, key: secret }] },
      /providers\.0: Unrecognized key: "key"/,
    ],
    [
      "a kind that is unknown",
      { version: 1, providers: [{ ...plain, kind: "x" }] },
      /providers\.0\.kind: .*"anthropic"/,
    ],
    ["a name that is none", { version: 1, providers: [{ ...plain, name: "a/b" }] }, /providers\.0\.name: is no name/],
    ["two of one name", { version: 1, providers: [plain, plain] }, /two models' providers are called anthropic/],
    [
      "both keys",
      { version: 1, providers: [{ ...plain, value: secret, value_file: "/x" }] },
      /both value and value_file/,
    ],
    ["a value that is no text", { version: 1, providers: [{ ...plain, value: [secret] }] }, /providers\.0\.value: /],
    ["no URL", { version: 1, providers: [{ ...plain, upstream: "api" }] }, /upstream of anthropic .* is no URL/],
    [
      "a login",
      { version: 1, providers: [{ ...plain, upstream: `https://u:${secret}@a.example` }] },
      /has a login in it/,
    ],
    [
      "a query",
      { version: 1, providers: [{ ...plain, upstream: `https://a.example/?k=${secret}` }] },
      /more than a path/,
    ],
    [
      "another scheme",
      { version: 1, providers: [{ ...plain, upstream: "ftp://a.example" }] },
      /neither https nor http/,
    ],
    [
      "a key in clear",
      { version: 1, providers: [{ ...plain, upstream: "http://a.example", value: secret }] },
      /has no TLS/,
    ],
  ] as const) {
    it(`that has ${what} is refused with the member, and without what stands there`, () => {
      const message = messageOf(() => fromJson(value));
      expect(message).to.match(wanted);
      expect(message).not.to.contain(secret);
    });
  }

  it("that has a key written into TOML by mistake does not show it", () => {
    const text = `[[llm]]\nname = "a"\nkind = "openai"\nupstream = "https://a.example"\nvalue = "${secret}"`;
    const message = messageOf(() => fromToml(text));
    expect(message).to.match(/llm\.0 \(Unrecognized key: "value"\) in a\.toml is not allowed/);
    expect(message).not.to.contain(secret);
  });

  it("lets a key travel without TLS on this machine, or where that is wanted", () => {
    const text = (upstream: string, more = "") =>
      `[[llm]]\nname = "a"\nkind = "openai"\nupstream = "${upstream}"\nvalue_file = "/x"\n${more}`;
    expect(fromToml(text("http://127.0.0.1:8000"))).to.have.length(1);
    expect(fromToml(text("http://a.example", "plain = true"))).to.have.length(1);
    expect(messageOf(() => fromToml(text("http://a.example")))).to.contain("plain = true");
  });

  it("has a published schema that is the one it is checked by", async () => {
    const file = join(projectDirectory, "docs/guide/llm-config.schema.json");
    expect(JSON.parse(await readFile(file, "utf8"))).to.deep.equal(z.toJSONSchema(llmConfigSchema, { io: "input" }));
    expect(llmSettings.llm.secret).to.equal(true);
  });
});
