/** That nobody who reads is sent where nothing is. */
import { existsSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { expect } from "chai";
import { anchorsOf, documents, inlineCodeOf, linksOf, textOf, textsBelow } from "../../support/documents.js";
import { projectDirectory } from "../../support/project.js";

/** "docs/guide/node.md#x" for a link of a document, whichever way it is written. */
function targetOf(document: string, link: string): { path: string; anchor: string } {
  const [path = "", anchor = ""] = link.split("#");
  return { path: path === "" ? document : normalize(join(dirname(document), path)), anchor };
}

async function leadsSomewhere(document: string, link: string): Promise<boolean> {
  const { path, anchor } = targetOf(document, link);
  if (!existsSync(join(projectDirectory, path))) return false;
  return anchor === "" || anchorsOf(await textOf(path)).includes(anchor);
}

describe("the documents", () => {
  it("have links to files and headings that there are, and nowhere else", async () => {
    const all = await documents();
    expect(all).to.include.members(["README.md", "docs/guide/README.md", "docs/adr/README.md", "test/README.md"]);
    const lost: string[] = [];
    let links = 0;
    for (const document of all) {
      for (const link of linksOf(await textOf(document))) {
        links += 1;
        if (!(await leadsSomewhere(document, link))) lost.push(`${document}: ${link}`);
      }
    }
    expect(lost).to.deep.equal([]);
    expect(links).to.be.greaterThan(100);
  });

  it("name files of the project that there are", async () => {
    const lost: string[] = [];
    for (const document of (await documents()).filter((path) => /^(?:README|ARCHITECTURE|docs\/guide)/.test(path))) {
      const named = inlineCodeOf(await textOf(document)).filter((code) =>
        /^(?:docs|test|src|deploy|scripts)\/[\w./-]+$/.test(code),
      );
      for (const path of named) if (!existsSync(join(projectDirectory, path))) lost.push(`${document}: ${path}`);
    }
    expect(lost).to.deep.equal([]);
  });

  it("list every page of the guide, every decision and every README of tests", async () => {
    const all = await documents();
    const lists = {
      "docs/guide/": "docs/guide/README.md",
      "docs/adr/": "docs/adr/README.md",
      "test/": "test/README.md",
    };
    const missing: string[] = [];
    for (const [directory, list] of Object.entries(lists)) {
      const linked = new Set(linksOf(await textOf(list)).map((link) => targetOf(list, link).path));
      const pages = all.filter((path) => path.startsWith(directory) && path !== list);
      missing.push(...pages.filter((path) => !linked.has(path)));
    }
    expect(missing).to.deep.equal([]);
  });

  it("name variables that tests, scripts or the daemon read", async () => {
    const read = new Set<string>();
    for (const text of await textsBelow(["src", "test", "scripts", "bench"], /\.(?:ts|mjs|sh)$/)) {
      for (const [variable] of text.matchAll(/\bA3S_[A-Z_]+\b/g)) read.add(variable);
    }
    const lost: string[] = [];
    for (const document of (await documents()).filter((path) => path.endsWith("README.md"))) {
      for (const [variable] of (await textOf(document)).matchAll(/\bA3S_[A-Z_]+\b/g)) {
        if (!read.has(variable)) lost.push(`${document}: ${variable}`);
      }
    }
    expect(lost).to.deep.equal([]);
  });

  it("have a front page that fits on one", async () => {
    expect((await textOf("README.md")).split("\n").length).to.be.at.most(151);
  });
});
