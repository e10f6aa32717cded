/** That a decision that was replaced says by which, in its file and in the list. */
import { expect } from "chai";
import { documents, textOf } from "../../support/documents.js";

const list = "docs/adr/README.md";

/** "0048" for each four digits that begin with 0. */
function numbersIn(text: string): string[] {
  return [...new Set([...text.matchAll(/\b0\d{3}\b/g)].map(([number]) => number))].sort();
}

interface Decision {
  readonly number: string;
  /** What its file says of it: whole or in part, and by which. */
  readonly status: string;
  /** What the list says behind its title. */
  readonly marked: string;
  readonly text: string;
}

async function decisions(): Promise<Decision[]> {
  const lines = (await textOf(list)).split("\n");
  const found: Decision[] = [];
  for (const document of (await documents("docs/adr")).filter((path) => path !== list)) {
    const number = /(\d{4})-/.exec(document)?.[1] ?? "";
    const text = await textOf(document);
    const status = /^\*\*Status\.\*\* (.*?)\n\n/ms.exec(text)?.[1] ?? "";
    const line = lines.find((one) => one.startsWith(`- [${number}]`)) ?? "";
    found.push({ number, status, text, marked: /; (?:in part )?superseded by .*$/.exec(line)?.[0] ?? "" });
  }
  return found;
}

describe("the decisions", () => {
  it("that were superseded say by which in both places, and those are later ones that speak of them", async () => {
    const all = await decisions();
    const superseded = all.filter(({ status }) => status !== "");
    expect(superseded.length).to.be.greaterThan(15);
    for (const { number, status, marked } of all) {
      expect(numbersIn(marked), number).to.deep.equal(numbersIn(status));
      expect(marked.startsWith("; in part"), number).to.equal(status.startsWith("Superseded in part: "));
      const others = numbersIn(status).map((by) => all.find((one) => one.number === by));
      for (const by of others) expect(by !== undefined && by.number > number, number).to.equal(true);
    }
  });

  it("that supersede another, as the list has it behind their titles, are named by that one", async () => {
    const all = await decisions();
    const wrong: string[] = [];
    for (const line of (await textOf(list)).split("\n")) {
      const [, number = "", replaced = ""] = /^- \[(\d{4})\].* \(([^)]*\d{4}[^)]*)\)(?:;.*)?$/.exec(line) ?? [];
      for (const other of numbersIn(replaced).filter((one) => one < number)) {
        const status = all.find((one) => one.number === other)?.status ?? "";
        if (!numbersIn(status).includes(number)) wrong.push(`${other} does not name ${number}`);
      }
    }
    expect(wrong).to.deep.equal([]);
  });
});
