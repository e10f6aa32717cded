import { expect } from "chai";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { flakyReport, isTooFlaky, readFlaky, tellFlaky, type FlakyTest } from "../../../scripts/test/flaky.js";

const flaky = (title: string, why = "why"): FlakyTest => {
  return { part: "test/vmm/**", title, error: `Error: ${why}\n    at somewhere` };
};

describe("what passes at its second try only", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "flaky-"));
  });
  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  it("is listed at the end, a line each with its part and the first of its error", () => {
    expect(flakyReport([])).to.equal("");
    expect(flakyReport([flaky("a"), flaky("b")])).to.equal(
      "flaky: 2 passed at the second try only\n  test/vmm/**: a: Error: why\n  test/vmm/**: b: Error: why",
    );
  });

  it("fails the run from three causes on, and the list says so", () => {
    const three = [flaky("a"), flaky("b", "another"), flaky("c", "a third")];
    expect(isTooFlaky(three.slice(1))).to.equal(false);
    expect(isTooFlaky(three)).to.equal(true);
    expect(flakyReport(three)).to.match(/^flaky: 3 .*; more than 2 causes fail the run\n/);
  });

  it("has one cause where the words are the same in one part", () => {
    const one = [flaky("a"), flaky("b"), flaky("c")];
    expect(isTooFlaky(one)).to.equal(false);
    expect(isTooFlaky([...one, { ...flaky("d"), part: "test/net/**" }])).to.equal(false);
    expect(isTooFlaky([...one, { ...flaky("d"), part: "test/net/**" }, flaky("e", "another")])).to.equal(true);
  });

  it("has one cause where only the container is another, and three where the numbers are", () => {
    const named = (id: string): FlakyTest =>
      flaky(id, `create container ctr-${id} (${id}${id}): no answer in 60000 ms`);
    expect(isTooFlaky([named("ec4468dc"), named("2f4359b9"), named("0a01d3ed")])).to.equal(false);
    expect(isTooFlaky([1, 2, 3].map((number) => flaky("a", `expected ${String(number)} to equal 4`)))).to.equal(true);
  });

  it("is collected over all parts of a run", async () => {
    const file = join(directory, "flaky.jsonl");
    expect(await readFlaky(file)).to.deep.equal([]);
    await tellFlaky([flaky("a")], { A3S_FLAKY: file });
    await tellFlaky([], { A3S_FLAKY: file });
    await tellFlaky([flaky("b"), flaky("c")], { A3S_FLAKY: file });
    expect((await readFlaky(file)).map(({ title }) => title)).to.deep.equal(["a", "b", "c"]);
  });

  it("is nothing else that a file may say", async () => {
    const file = join(directory, "other.jsonl");
    await writeFile(file, '{"title":"a"}\n');
    const failure = await readFlaky(file).catch((thrown: unknown) => String(thrown));
    expect(failure).to.include("not a flaky test");
  });
});
