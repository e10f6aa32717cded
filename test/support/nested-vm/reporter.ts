/** Mocha's own output for people, and one JSON line per test on the channel that leaves the VM. */
import { appendFileSync } from "node:fs";
import Mocha from "mocha";

export type TestState = "passed" | "failed" | "skipped";

export interface TestResult {
  readonly title: string;
  readonly state: TestState;
  readonly durationMs: number;
  readonly error: string | null;
}

export default class ResultsReporter extends Mocha.reporters.Spec {
  constructor(runner: Mocha.Runner, options: Mocha.MochaOptions) {
    super(runner, options);
    const channel = process.env["A3S_RESULTS"] ?? "/dev/null";
    const report = (test: Mocha.Runnable, state: TestState, error: string | null): void => {
      const result: TestResult = { title: test.fullTitle(), state, durationMs: test.duration ?? 0, error };
      appendFileSync(channel, `${JSON.stringify(result)}\n`);
    };
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
