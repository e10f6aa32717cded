/** The table of test/kubelet/README.md names tests that are there, and says of each where it was seen. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { projectDirectory } from "../../support/project.js";

const directory = join(projectDirectory, "test/kubelet");

/** Cells of the rows of scenarios: name, tests, verdicts. */
async function rows(): Promise<string[][]> {
  const text = await readFile(join(directory, "README.md"), "utf8");
  const table = text.slice(text.indexOf("## Scenarios"));
  return table
    .split("\n")
    .filter((line) => line.startsWith("| ") && !/^\| (-|scenario)/.test(line))
    .map((line) => line.split("|").map((cell) => cell.trim()));
}

describe("the scenarios of the kubelet's tests", () => {
  it("name tests that are there", async () => {
    const missing: string[] = [];
    for (const [, scenario = "", tests = ""] of await rows()) {
      const named = [...tests.matchAll(/`([^`]+)`/g)].map(([, test = ""]) => test);
      if (named.length === 0) missing.push(scenario);
      for (const test of named) {
        const [file = "", ...title] = test.split(": ");
        const source = await readFile(join(directory, `${file}.test.ts`), "utf8").catch(() => "");
        if (title.length === 0 || !source.includes(title.join(": "))) missing.push(test);
      }
    }
    expect(missing).to.deep.equal([]);
  });

  it("have a verdict for each kubelet and driver", async () => {
    const all = await rows();
    expect(all.length).to.be.greaterThan(20);
    for (const [, scenario, , ...verdicts] of all) {
      for (const verdict of verdicts.slice(0, 3)) expect(verdict, scenario).to.match(/^(pass|—)$/);
    }
  });
});
