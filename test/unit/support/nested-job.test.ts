import { expect } from "chai";
import { isProgram, jobScript } from "../../support/nested-vm/job.js";

/** The line that runs what was asked for. */
function lastLine(...given: readonly string[]): string {
  return jobScript(given, undefined, {}).trimEnd().split("\n").at(-1) ?? "";
}

describe("the job of a nested VM", () => {
  it("runs the core where nothing is named, and the compiled files that are", () => {
    expect(lastLine())
      .to.match(/'build\/nested\/test\/critest\/exec-sync\.test\.js'/)
      .and.to.contain("'build/nested/test/image/project-quota.test.js'")
      .and.to.contain("'--grep' 'Runtime");
    const line = lastLine("test/escape/guest.test.ts", "-g", "it's");
    expect(line).to.match(/'-g' 'it'\\''s' 'build\/nested\/test\/escape\/guest\.test\.js'$/);
    expect(line).to.not.contain("exec-sync");
  });

  it("runs again by their whole titles those that are to run again", () => {
    const script = jobScript(["test/critest/logs.test.ts"], ["a (1)", "b"], {});
    expect(script).to.contain("'--grep' '^(a \\(1\\)|b)$'");
  });

  it("runs below systemd what is for a machine with systemd, and nothing else", () => {
    const systemd = "'build/nested/test/support/systemd/run.js'";
    expect(lastLine("test/systemd/cgroup-driver.test.ts")).to.contain(systemd);
    expect(lastLine("test/critest/native.test.ts")).to.not.contain(systemd);
  });

  it("runs a program of the project with its arguments", () => {
    expect(isProgram(["bench/run.ts", "overhead"])).to.equal(true);
    expect(isProgram(["test/critest/logs.test.ts"])).to.equal(false);
    expect(isProgram([])).to.equal(false);
    expect(lastLine("bench/run.ts", "overhead", "--runs", "1")).to.match(
      / 'build\/nested\/bench\/run\.js' 'overhead' '--runs' '1'$/,
    );
  });

  it("passes on what tests are told by the environment, and nothing else of it", () => {
    const script = jobScript([], undefined, { A3S_TEST_PODS: "7", A3S_TEST_DRIVER: "qemu", SECRET: "s" });
    expect(script).to.contain("export A3S_TEST_PODS='7'").and.to.not.contain("qemu").and.to.not.contain("SECRET");
  });
});
