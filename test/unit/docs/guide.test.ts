/** That what the guide tells people to type, to set and to search for is there. */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { commands } from "../../../src/cli/commands.js";
import { loadConfig } from "../../../src/config/load.js";
import { settingNames } from "../../../src/config/settings.js";
import { parseHostsFile } from "../../../src/image/registry/hosts-file.js";
import { codeBlocksOf, documents, inlineCodeOf, rowsIn, textOf, textsBelow, typedIn } from "../../support/documents.js";
import { projectDirectory } from "../../support/project.js";

const guide = async (): Promise<string[]> => [
  "README.md",
  ...(await documents()).filter((path) => path.startsWith("docs/guide/")),
];
const program = "a3s-box-cri-runtime";
/** What the README of the guide tells to set up. */
const alias = `alias ${program}=`;

interface Said {
  readonly document: string;
  readonly what: string;
}

/** Lines of shell blocks, and code in sentences. */
async function typed(): Promise<Said[]> {
  const found: Said[] = [];
  for (const document of await guide()) {
    found.push(...typedIn(await textOf(document)).map((what) => ({ document, what })));
  }
  return found;
}

/** Undefined when all of it is there. */
function mistakeIn(line: string): string | undefined {
  const words = line.slice(program.length).trim().split(/\s+/);
  const command = commands.find(({ name }) => `${words.join(" ")} `.startsWith(`${name} `));
  if (command === undefined) return "no such command";
  const help = [command.synopsis, ...command.details].join("\n");
  return words.find((word) => word.startsWith("--") && word !== "--help" && !help.includes(word));
}

/** All source text, with strings that go on in the next line put together. */
async function sources(): Promise<string> {
  const all = (await textsBelow(["src", "guest/agent/src"], /\.(?:ts|rs)$/)).join("\n");
  const joined = all.replaceAll(/["'`]\s*\+\s*["'`]/g, "");
  return joined.replaceAll(/\\\n/g, "").replaceAll(/\\(["'])/g, "$1");
}

describe("the guide", () => {
  it("names commands and flags that there are", async () => {
    const lines = (await typed()).filter(({ what }) => what.startsWith(`${program} `) && !what.startsWith(alias));
    expect(lines.length).to.be.greaterThan(20);
    const wrong = lines.flatMap(({ document, what }) => {
      const mistake = mistakeIn(what);
      return mistake === undefined ? [] : [`${document}: ${what}: ${mistake}`];
    });
    expect(wrong).to.deep.equal([]);
  });

  it("has every command in its table", async () => {
    const cells = rowsIn(await textOf("docs/guide/README.md")).map(([first = ""]) => first);
    const missing = commands.filter(({ name }) => !cells.some((cell) => cell.includes(`\`${name}`)));
    expect(missing.map(({ name }) => name)).to.deep.equal([]);
  });

  it("names keys of the configuration that there are", async () => {
    const sections = new Set(settingNames.map((name) => name.split(".")[0]));
    const wrong: string[] = [];
    for (const document of await guide()) {
      const keys = inlineCodeOf(await textOf(document)).map((code) => code.replace(/ =.*$/, ""));
      for (const key of keys.filter((one) => /^[a-z]+\.[a-z_]+$/.test(one))) {
        const [section = ""] = key.split(".");
        const isFile = /\.(?:md|toml|ts|json|yaml|sock|service|crt|cert|key)$/.test(key);
        if (!isFile && sections.has(section) && !settingNames.some((name) => name === key))
          wrong.push(`${document}: ${key}`);
      }
    }
    expect(wrong).to.deep.equal([]);
  });

  it("has configurations that the daemon takes, and a hosts.toml that pulls take", async () => {
    const directory = await mkdtemp(join(tmpdir(), "a3s-guide-"));
    try {
      let tried = 0;
      for (const document of await guide()) {
        for (const { language, text } of codeBlocksOf(await textOf(document))) {
          if (language !== "toml") continue;
          tried += 1;
          if (text.includes("hosts.toml")) {
            expect(parseHostsFile(text, document).unknownKeys, document).to.deep.equal([]);
            continue;
          }
          await writeFile(join(directory, "config.toml"), text);
          await loadConfig({ config: join(directory, "config.toml") });
        }
      }
      expect(tried).to.be.greaterThan(8);
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it("quotes errors, in blocks of text, in the words in which they come", async () => {
    const said = await sources();
    const wrong: string[] = [];
    let quoted = 0;
    for (const document of await guide()) {
      const blocks = codeBlocksOf(await textOf(document)).filter(({ language }) => language === "text");
      for (const line of blocks.flatMap(({ text }) => text.trim().split("\n"))) {
        quoted += 1;
        // What differs is "…"; stage, message and hint stand apart in the source.
        const parts = line
          .split(/…|; |: | \(|\)$|^\(/)
          .map((part) => part.trim())
          .filter((part) => part.length > 3);
        expect(parts, line).to.not.deep.equal([]);
        for (const part of parts) if (!said.includes(part)) wrong.push(`${document}: ${part}`);
      }
    }
    expect(wrong).to.deep.equal([]);
    expect(quoted).to.be.greaterThan(50);
  });

  it("knows lines of the log by the words that they have", async () => {
    const text = await textOf("docs/guide/troubleshooting.md");
    const from = text.indexOf("## Lines of the log");
    const rows = rowsIn(text.slice(from, text.indexOf("\n## ", from + 1)));
    const lines = rows.flatMap(([first = ""]) => inlineCodeOf(first)).filter((line) => line !== "msg");
    const said = await sources();
    expect(lines.length).to.be.greaterThan(10);
    expect(lines.filter((line) => !said.includes(`"${line}"`))).to.deep.equal([]);
  });

  it("says of each finding of `check` what to do", async () => {
    const findings: string[] = [];
    for (const file of await readdir(join(projectDirectory, "src/cli"))) {
      if (!/finding/.test(file)) continue;
      const text = await readFile(join(projectDirectory, "src/cli", file), "utf8");
      findings.push(...[...text.matchAll(/\bsubject(?::| =) "([^"]+)"/g)].map(([, subject = ""]) => subject));
      findings.push(...[...text.matchAll(/\bfile\("([^"]+)"/g)].map(([, subject = ""]) => subject));
    }
    expect(findings.length).to.be.greaterThan(20);
    const page = inlineCodeOf(await textOf("docs/guide/troubleshooting.md"));
    expect([...new Set(findings)].filter((subject) => !page.includes(subject))).to.deep.equal([]);
  });

  it("has every metric that is served, and no other", async () => {
    const found = [...(await sources()).matchAll(/"(a3s_box_[a-z_]+)"/g)];
    const served = new Set(found.map(([, name = ""]) => name));
    const page = rowsIn(await textOf("docs/guide/metrics.md"));
    const told = page.flatMap(([first = ""]) => [...first.matchAll(/a3s_box_[a-z_]+/g)].map(([name]) => name));
    expect(served.size).to.be.greaterThan(10);
    const names = new Set(told.map((name) => name.replace(/_bucket$/, "")));
    expect([...names].sort()).to.deep.equal([...served].sort());
  });
});
