import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { projectDirectory } from "../../support/project.js";

/** `test/x.test.ts`: "title" of a document's tables. */
function named(text: string): { file: string; title: string }[] {
  return [...text.matchAll(/`(test\/[^`]+\.test\.ts)`: "((?:[^"\\]|\\.)+)"/g)].map(([, file = "", title = ""]) => ({
    file,
    title,
  }));
}

describe("the threat model", () => {
  it("names tests that there are", async () => {
    const tests = named(await readFile(join(projectDirectory, "docs/threat-model.md"), "utf8"));
    expect(tests.length).to.be.greaterThan(50);
    const missing: string[] = [];
    for (const { file, title } of tests) {
      const source = await readFile(join(projectDirectory, file), "utf8").catch(() => "");
      // Whichever quotes the formatter has chosen.
      const plain = title.replaceAll('\\"', '"');
      if (!source.includes(`"${title}"`) && !source.includes(`'${plain}'`)) missing.push(`${file}: ${title}`);
    }
    expect(missing).to.deep.equal([]);
  });

  it("leaves no line of its tables without a test", async () => {
    const text = await readFile(join(projectDirectory, "docs/threat-model.md"), "utf8");
    const part = text.slice(text.indexOf("## The guest's doors"), text.indexOf("## What is not defended"));
    const rows = part.split("\n").filter((line) => /^\| /.test(line) && !/^\| (-|door|reaches for)/.test(line));
    expect(rows.filter((row) => named(row).length === 0)).to.deep.equal([]);
  });
});
