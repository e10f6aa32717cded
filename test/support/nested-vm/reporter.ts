/** Mocha's own output for people, and one JSON line per test on the channel that leaves the VM. */
import { appendFileSync } from "node:fs";
import Mocha from "mocha";
import { bedFault, DaemonLogs } from "../bed-fault.js";

export type TestState = "passed" | "failed" | "skipped";

export interface TestResult {
  readonly title: string;
  readonly state: TestState;
  readonly durationMs: number;
  readonly error: string | null;
  /** What the nested VM's KVM did meanwhile, by the error or a daemon's log; null for nothing. */
  readonly bedFault: string | null;
}

/** With `A3S_RESULTS_PLAN` the first line is `{"planned": [titles]}`: what has no result later did not run. */
export default class ResultsReporter extends Mocha.reporters.Spec {
  constructor(runner: Mocha.Runner, options: Mocha.MochaOptions) {
    super(runner, options);
    const channel = process.env["A3S_RESULTS"] ?? "/dev/null";
    const say = (line: object): void => {
      appendFileSync(channel, `${JSON.stringify(line)}\n`);
    };
    const logs = new DaemonLogs();
    const report = (test: Mocha.Runnable, state: TestState, error: string | null): void => {
      const meanwhile = logs.fault();
      const fault = state === "failed" ? (bedFault(error ?? "") ?? meanwhile) : undefined;
      const result: TestResult = {
        title: test.fullTitle(),
        state,
        durationMs: test.duration ?? 0,
        error,
        bedFault: fault ?? null,
      };
      say(result);
    };
    if (process.env["A3S_RESULTS_PLAN"] !== undefined) {
      runner.once("start", () => {
        say({ planned: titlesOf(runner.suite, options.grep) });
      });
    }
    runner.on("pass", (test) => {
      report(test, "passed", null);
    });
    runner.on("pending", (test) => {
      report(test, "skipped", null);
    });
    runner.on("fail", (test, thrown: unknown) => {
      report(test, "failed", thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown));
    });
  }
}

function titlesOf(suite: Mocha.Suite, grep: string | RegExp | undefined): string[] {
  const pattern = new RegExp(grep ?? "");
  const titles: string[] = [];
  suite.eachTest((test) => {
    if (pattern.test(test.fullTitle())) titles.push(test.fullTitle());
  });
  return titles;
}
