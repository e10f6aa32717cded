/** The table of test/critest/README.md names tests that are there, and every behaviour of the suite. */
import { expect } from "chai";
import { missingTests, rowsOf, testsNamed } from "../../support/test-table.js";

/** The behaviours of the validation suite are numbered from 1. */
const lastBehaviour = 79;
const directory = "test/critest";

interface Row {
  readonly numbers: readonly number[];
  /** "file: part of a title". */
  readonly tests: readonly string[];
  readonly verdicts: readonly string[];
}

async function table(): Promise<Row[]> {
  return (await rowsOf(`${directory}/README.md`, /^\d/)).map(([range = "", , tests = "", qemu = "", krun = ""]) => {
    const [first = 0, last = first] = range.split("–").map(Number);
    return {
      numbers: Array.from({ length: last - first + 1 }, (_, index) => first + index),
      tests: testsNamed(tests),
      verdicts: [qemu, krun],
    };
  });
}

describe("the checklist of the conformance tests", () => {
  it("has every behaviour once", async () => {
    const numbers = (await table()).flatMap((row) => row.numbers);
    expect(numbers).to.deep.equal(Array.from({ length: lastBehaviour }, (_, index) => index + 1));
  });

  it("names tests that are there", async () => {
    const tests = (await table()).flatMap((row) => row.tests);
    expect(await missingTests(tests, directory)).to.deep.equal([]);
  });

  it("has a verdict of each driver, and a test or a place for whatever passes", async () => {
    for (const { numbers, tests, verdicts } of await table()) {
      for (const verdict of verdicts) expect(verdict, String(numbers[0])).to.match(/^(pass|VM|later|not part|—)(:|$)/);
      const [qemu = ""] = verdicts;
      expect(tests.length > 0 || qemu.includes(": ") || qemu === "later", String(numbers[0])).to.equal(true);
      if (qemu === "pass") expect(tests.length, String(numbers[0])).to.be.greaterThan(0);
      if (qemu.startsWith("VM")) expect(qemu, String(numbers[0])).to.match(/^VM: ./);
    }
  });
});
