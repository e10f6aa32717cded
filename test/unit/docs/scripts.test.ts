/** That the documents name the npm scripts that there are, and the parts of `npm test`. */
import { expect } from "chai";
import { documents, inlineCodeOf, rowsIn, textOf, typedIn } from "../../support/documents.js";

/** Of npm itself: how apps and the SDK's directory install and pack. */
const ofNpm = new Set(["ci", "install", "pack"]);

const isForUsers = (path: string): boolean => !/^(?:docs\/adr|CHANGELOG)/.test(path);

describe("npm scripts in the documents", () => {
  it("are there", async () => {
    const known = await textOf("package.json");
    const lost: string[] = [];
    let named = 0;
    for (const document of (await documents()).filter(isForUsers)) {
      for (const line of typedIn(await textOf(document))) {
        const script = /^npm (?:run )?([a-z][\w:-]*)/.exec(line)?.[1];
        if (script === undefined || ofNpm.has(script)) continue;
        named += 1;
        if (!known.includes(`"${script}": `)) lost.push(`${document}: ${line}`);
      }
    }
    expect(lost).to.deep.equal([]);
    expect(named).to.be.greaterThan(30);
  });

  it("have a row for each part of npm test, in its order", async () => {
    const list = /const allParts = \[(.*?)\];/s.exec(await textOf("scripts/test/main.ts"))?.[1] ?? "";
    const parts = [...list.matchAll(/"([^"]+)"/g)].map(([, part = ""]) => part);
    const rows = rowsIn(await textOf("test/README.md")).flatMap(([first = ""]) => inlineCodeOf(first));
    expect(parts.length).to.be.greaterThan(10);
    expect(rows.filter((row) => parts.includes(row))).to.deep.equal(parts);
  });
});
