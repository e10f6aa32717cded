/** That the commands by which ARCHITECTURE.md lets things be found do find them. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect } from "chai";
import { rowsIn, textOf } from "../../support/documents.js";
import { projectDirectory } from "../../support/project.js";

const mostLines = 3;

async function rows(): Promise<{ what: string; command: string }[]> {
  const text = await textOf("ARCHITECTURE.md");
  const from = text.indexOf("## Where is");
  const section = text.slice(from, text.indexOf("\n## ", from + 1));
  return rowsIn(section).flatMap(([what = "", cell = ""]) => {
    const command = /^`(grep -rnF '[^']+' [\w/]+)`$/.exec(cell)?.[1];
    return command === undefined ? [] : [{ what, command }];
  });
}

describe("what a newcomer looks for", () => {
  it("is found by one grep: one to three lines", async () => {
    const found = await rows();
    expect(found).to.have.length.of.at.least(10);
    const wrong: string[] = [];
    for (const { what, command } of found) {
      const { stdout } = await promisify(execFile)("sh", ["-c", `${command} || true`], { cwd: projectDirectory });
      const lines = stdout.split("\n").filter((line) => line !== "");
      if (lines.length < 1 || lines.length > mostLines)
        wrong.push(`${what}: ${command}: ${String(lines.length)} lines`);
    }
    expect(wrong).to.deep.equal([]);
  });

  it("is asked for in every row of the table", async () => {
    const text = await textOf("ARCHITECTURE.md");
    const from = text.indexOf("## Where is");
    const section = text.slice(from, text.indexOf("\n## ", from + 1));
    expect(rowsIn(section).length - 1).to.equal((await rows()).length);
  });
});
