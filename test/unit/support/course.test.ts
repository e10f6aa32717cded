import { expect } from "chai";
import { Course } from "../../support/nested-vm/course.js";
import type { TestResult } from "../../support/nested-vm/reporter.js";
import type { VmRun } from "../../support/nested-vm/verdict.js";

const fault = "KVM_EXIT_INTERNAL_ERROR";
const hook = '"before each" hook for "b"';

function result(title: string, state: TestResult["state"], bedFault: string | null = null): TestResult {
  return { title, state, durationMs: 1, error: state === "failed" ? "why" : null, bedFault };
}

function run(planned: readonly string[], results: readonly TestResult[], trouble?: string): VmRun {
  return { planned, results, trouble };
}

const titles = (results: readonly TestResult[]): string[] => results.map(({ title }) => title);

describe("a run of the tests over several VMs", () => {
  it("is over when all have passed", () => {
    const course = new Course();
    expect(course.take(run(["a"], [result("a", "passed")]), false)).to.equal("none");
    expect([...course.passed]).to.deep.equal(["a"]);
  });

  it("gives what fails a second chance, and names what took it", () => {
    const course = new Course();
    const first = run(["a", "b"], [result("a", "failed"), result("b", "failed")]);
    expect(course.take(first, false)).to.deep.equal(["a", "b"]);
    expect(course.take(run(["a", "b"], [result("a", "passed"), result("b", "failed")]), false)).to.equal("none");
    expect(titles(course.passedAtSecondTry)).to.deep.equal(["a"]);
    expect(titles(course.failed)).to.deep.equal(["b"]);
  });

  it("gives a hook its chance with the tests that it stopped, and none where it stopped nothing", () => {
    const course = new Course();
    expect(course.take(run(["a", "b"], [result("a", "passed"), result(hook, "failed")]), false)).to.deep.equal(["b"]);
    expect(course.take(run(["b"], [result("b", "passed")]), false)).to.equal("none");
    expect(course.failed).to.deep.equal([]);
    const after = new Course();
    expect(after.take(run(["a"], [result("a", "passed"), result(hook, "failed")]), false)).to.equal("none");
    expect(titles(after.failed)).to.deep.equal([hook]);
  });

  it("skips what the bed spoils each time, and fails where the VM never came through", () => {
    const course = new Course();
    const spoilt = run(["a"], [result("a", "failed", fault)]);
    expect(course.take(spoilt, false)).to.deep.equal(["a"]);
    expect(course.take(spoilt, true)).to.equal("none");
    expect([course.failed, [...course.skipped]]).to.deep.equal([[], ["a"]]);
    const hangs = new Course();
    expect(hangs.take(run(["a"], [], "still running"), false)).to.deep.equal(["a"]);
    hangs.take(run(["a"], [], "still running"), true);
    expect(titles(hangs.failed)).to.deep.equal(["a"]);
    const never = new Course();
    expect(never.take({ planned: undefined, results: [], trouble: undefined }, false)).to.equal("all");
    never.take({ planned: undefined, results: [], trouble: undefined }, true);
    expect(titles(never.failed)).to.deep.equal(["the tests"]);
  });
});
