import { expect } from "chai";
import type { TestResult } from "../../support/nested-vm/reporter.js";
import { judge, vmRun } from "../../support/nested-vm/verdict.js";

const fault = "KVM_EXIT_INTERNAL_ERROR";
const hook = '"before each" hook: the pod is there for "b"';

function result(title: string, state: TestResult["state"], bedFault: string | null = null): TestResult {
  return { title, state, durationMs: 1, error: state === "failed" ? "why" : null, bedFault };
}

function channel(planned: readonly string[], results: readonly TestResult[], end = true): string[] {
  return [{ planned }, ...results, ...(end ? [{ exit: 0 }] : [])].map((line) => JSON.stringify(line));
}

function judged(planned: readonly string[], results: readonly TestResult[], end = true, failure?: string) {
  const { passed, failed, stopped, skipped, again } = judge(vmRun(channel(planned, results, end), failure));
  return {
    passed,
    failed: failed.map(({ title }) => title),
    stopped,
    skipped: skipped.map(({ title }) => title),
    again: again === "all" ? again : [...again],
  };
}

describe("the verdict on a run in the nested VM", () => {
  it("keeps what failed by itself, and tries again what the bed has spoilt", () => {
    const results = [
      result("a", "passed"),
      result("b", "failed"),
      result("c", "failed", fault),
      result("d", "skipped"),
    ];
    expect(judged(["a", "b", "c", "d"], results)).to.deep.equal({
      passed: ["a"],
      failed: ["b"],
      stopped: [],
      skipped: ["d"],
      again: [["c", fault]],
    });
  });

  it("tries again what did not run after a hook that the bed has spoilt", () => {
    const { failed, again } = judged(["a", "b", "c"], [result("a", "passed"), result(hook, "failed", fault)]);
    expect([failed, again]).to.deep.equal([
      [],
      [
        ["b", fault],
        ["c", fault],
      ],
    ]);
  });

  it("names a hook that fails by itself, and what it stopped", () => {
    expect(judged(["a", "b"], [result("a", "passed"), result(hook, "failed")])).to.deep.include({
      failed: [hook],
      stopped: ["b"],
      again: [],
    });
  });

  it("tries again what has no result when the VM ended or hung, and all when nothing ran", () => {
    expect(judged(["a", "b"], [result("a", "passed")], false).again).to.deep.equal([
      ["b", "the outer VM ended before the tests did"],
    ]);
    expect(judged(["a", "b"], [], false, "still running").again).to.deep.equal([
      ["a", "still running"],
      ["b", "still running"],
    ]);
    expect(judge(vmRun([], "no kernel")).again).to.equal("all");
  });

  it("fails for a test that has no result though all ended well", () => {
    expect(judged(["a", "b"], [result("a", "passed")]).failed).to.deep.equal(["b"]);
  });
});
