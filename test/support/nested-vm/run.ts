/**
 * `npm run test:krun [-- --all | <files> <mocha's arguments>]`: conformance tests with the krun driver, in a VM that has
 * a KVM; by itself the core ones, `--all` is every file. The tests are compiled first: a TypeScript loader under
 * emulation costs more than the tests.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { projectFolder } from "../project.js";
import { runInOuterVm } from "./machine.js";
import type { TestResult } from "./reporter.js";

/** Emulated, shared, and a guest in a guest: what takes a second on a machine may take this many here. */
const slowness = Number(process.env["A3S_TEST_SLOWNESS"] ?? "8");
const limitMin = Number(process.env["A3S_NESTED_LIMIT_MIN"] ?? (process.argv.includes("--all") ? "120" : "30"));
const testTimeoutMs = 30_000;
/** A Box takes ten times as long to make here as on a machine: what shows a pod's whole life, and what differs by driver. */
const coreFiles = ["runtime-info", "pod-sandbox", "container", "faults"].map((name) => `test/critest/${name}.test.ts`);
const coreTests = "Runtime information|its life|turns the sandbox NOTREADY";
/**
 * The KVM in there stands on an emulated processor, and fails now and then: a vCPU stops with an internal error, a guest
 * ends while it boots, or hangs (three times in some forty Boxes). A test gets two more tries, and the whole a second and
 * a third VM. What then still failed by that fault alone is skipped, and says so; anything else is a failure.
 */
const retries = 2;
const attempts = 3;
const testBedFault = /KVM_EXIT_INTERNAL_ERROR|wait for agent: vmm exited with status 0/;

const startMs = performance.now();
await compile();
const given = process.argv.slice(2).filter((argument) => argument !== "--");
process.exitCode = 1;
for (let attempt = 1; attempt <= attempts && process.exitCode !== 0; attempt++) {
  if (attempt > 1) console.log(`\nkrun: attempt ${attempt} of ${attempts}, in a new VM`);
  const { results, failure } = await runInOuterVm({
    script: jobScript(given),
    memoryMib: Number(process.env["A3S_NESTED_MEMORY_MIB"] ?? "6144"),
    cpus: 2,
    limitMs: limitMin * 60_000,
    onOutput: (chunk) => process.stdout.write(chunk.replaceAll("\r", "")),
  });
  process.exitCode = summarize(results, failure, attempt === attempts);
}

/** Only transpiles: types are the matter of `npm run check`. */
async function compile(): Promise<void> {
  const config = join(projectFolder, "test/support/nested-vm/tsconfig.json");
  const compiler = spawn(
    process.execPath,
    [join(projectFolder, "node_modules/typescript/bin/tsc"), "--noCheck", "-p", config],
    {
      stdio: "inherit",
    },
  );
  const status = await new Promise((resolve) => compiler.once("close", resolve));
  if (status !== 0) throw new Error("the tests don't compile");
}

/** File arguments name the sources; what runs is compiled from them. */
function jobScript(given: readonly string[]): string {
  const files = given.filter((argument) => argument.endsWith(".test.ts"));
  const others = given.filter((argument) => !files.includes(argument) && argument !== "--all");
  const chosen = given.includes("--all") ? ["test/critest/*.test.ts"] : files.length > 0 ? files : coreFiles;
  if (given.length === 0) others.push("--grep", coreTests);
  others.push("--retries", String(retries));
  const compiled = chosen.map((file) => `build/nested/${file.replace(/\.ts$/, ".js")}`);
  const mocha = ["node_modules/mocha/bin/mocha.js", "--no-config", "--no-package", "--exit", "--no-color"];
  const reporter = ["--reporter", "build/nested/test/support/nested-vm/reporter.js"];
  const words = [...mocha, ...reporter, "--timeout", String(testTimeoutMs * slowness), ...others, ...compiled];
  const passed = ["A3S_TEST_PODS", "A3S_TEST_KEEP"].flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [`export ${name}=${quoted(value)}`];
  });
  return [
    `cd ${quoted(projectFolder)}`,
    `export A3S_TEST_DRIVER=krun A3S_TEST_SLOWNESS=${slowness} NODE_ENV=test`,
    ...passed,
    ["exec", quoted(process.execPath), ...words.map(quoted)].join(" "),
    "",
  ].join("\n");
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

function summarize(lines: readonly string[], trouble: string | undefined, last: boolean): number {
  let tests: TestResult[] = [];
  let exit: number | undefined;
  for (const line of lines) {
    const parsed: unknown = JSON.parse(line);
    if (isResult(parsed)) tests.push(parsed);
    else if (isExit(parsed)) exit = parsed.exit;
  }
  const failedBefore = tests.filter((test) => test.state === "failed").length;
  if (last) tests = tests.map(excused);
  const count = (state: TestResult["state"]): number => tests.filter((test) => test.state === state).length;
  for (const test of tests) {
    if (test.state === "failed") console.error(`\nfailed: ${test.title}\n${test.error ?? ""}`);
  }
  const excuses = failedBefore - count("failed");
  const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
  console.log(
    `\nkrun: ${count("passed")} passed, ${count("failed")} failed, ${count("skipped")} skipped in ${seconds} s`,
  );
  if (trouble !== undefined) console.error(trouble);
  else if (exit === undefined) console.error("the outer VM ended before the tests did");
  // Mocha's own status is 1 where a failure was excused; with none it has to be 0.
  const ended = exit === 0 || (exit !== undefined && excuses > 0);
  return trouble === undefined && ended && count("passed") > 0 && count("failed") === 0 ? 0 : 1;
}

/** A failure that is the test bed's, as a skip with its reason. */
function excused(test: TestResult): TestResult {
  const fault = testBedFault.exec(test.error ?? "")?.[0];
  if (test.state !== "failed" || fault === undefined) return test;
  console.log(`skipped: ${test.title}: the emulated KVM of the outer VM failed in every attempt (${fault})`);
  return { ...test, state: "skipped" };
}

function isResult(parsed: unknown): parsed is TestResult {
  return typeof parsed === "object" && parsed !== null && "title" in parsed && "state" in parsed;
}

function isExit(parsed: unknown): parsed is { exit: number } {
  return typeof parsed === "object" && parsed !== null && "exit" in parsed && typeof parsed.exit === "number";
}
