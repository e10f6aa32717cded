import { expect } from "chai";
import type { TestResult } from "../../support/nested-vm/reporter.js";
import { escaped, type FileRun, inRandomOrder, resultOf, tally } from "../../support/run-results.js";

const file = "a.test.ts";

function result(title: string, state: TestResult["state"]): TestResult {
  return { title, state, durationMs: 1, error: state === "failed" ? `error of ${title}` : null, bedFault: null };
}

function run(status: number | null, ...results: TestResult[]): FileRun {
  return { file, results, status };
}

describe("the tally of test files", () => {
  it("counts what passed, failed and was skipped", () => {
    const counted = tally([run(1, result("a", "passed"), result("b", "failed"), result("c", "skipped"))], []);
    expect(counted).to.deep.include({ passed: 1, skipped: 1, second: [] });
    expect(counted.failed.map(({ title }) => title)).to.deep.equal(["b"]);
  });

  it("names what passed at the second try, with the first error", () => {
    const first = run(1, result("a", "passed"), result("b", "failed"));
    const counted = tally([first], [run(0, result("b", "passed"))]);
    expect(counted).to.deep.include({ passed: 2, failed: [] });
    expect(counted.second.map(({ error }) => error)).to.deep.equal(["error of b"]);
  });

  it("keeps a failure that fails again", () => {
    const counted = tally([run(1, result("b", "failed"))], [run(1, result("b", "failed"))]);
    expect(counted).to.deep.include({ passed: 0, second: [] });
    expect(counted.failed).to.have.length(1);
  });

  it("fails for two tests of one name, of which one would hide the other", () => {
    const counted = tally([run(1, result("a", "failed"), result("a", "passed"))], []);
    expect(counted.failed.map(({ title }) => title)).to.deep.equal(["a (two tests)"]);
  });

  it("takes a mocha that ended badly for a failure, until the file has run well", () => {
    const bad = run(7, result("a", "passed"));
    expect(tally([bad], []).failed.map(({ error }) => error)).to.deep.equal(["mocha ended with 7"]);
    expect(tally([bad], [run(0, result("a", "passed"))])).to.deep.include({ passed: 1, failed: [] });
  });

  it("takes a failed hook for a failure, until the file has run well", () => {
    const hook = result('Pods "before all" hook for "x"', "failed");
    const counted = tally([run(1, hook)], [run(0, result("Pods x", "passed"))]);
    expect(counted).to.deep.include({ passed: 1, failed: [] });
    expect(counted.second).to.deep.equal([hook]);
    expect(tally([run(1, hook)], [run(1, hook)]).failed).to.have.length(1);
  });
});

describe("test files in random order", () => {
  it("are all there, in the same order for the same seed", () => {
    const items = ["a", "b", "c", "d", "e", "f"];
    const orders = Array.from({ length: 20 }, (_, seed) => inRandomOrder(items, seed).join(","));
    for (const order of orders) expect(order.split(",").sort()).to.deep.equal(items);
    expect(new Set(orders).size).to.be.greaterThan(10);
    expect(inRandomOrder(items, 7)).to.deep.equal(inRandomOrder(items, 7));
  });
});

describe("a test's title in a regular expression", () => {
  it("means itself", () => {
    const title = "kill -9 of a Box's VMM (twice) [x] a+b $1 ^ \\ /p";
    expect(new RegExp(`^${escaped(title)}$`).test(title)).to.equal(true);
  });
});

describe("a line of results", () => {
  it("that is something else is refused", () => {
    expect(() => resultOf('{"exit":0}')).to.throw("not a test's result");
  });
});
