/**
 * `npm run test:krun [-- --all | <files> <mocha's arguments>]`: conformance tests with the krun driver, in a VM that has
 * a KVM; by itself the core ones, `--all` is every file. The tests are compiled first: a TypeScript loader under
 * emulation costs more than the tests.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { projectFolder } from "../project.js";
import { escaped } from "../run-results.js";
import { Course } from "./course.js";
import { runInOuterVm } from "./machine.js";
import { vmRun, type VmRun } from "./verdict.js";

/** Emulated, shared, and a guest in a guest: what takes a second on a machine may take this many here. */
const slowness = Number(process.env["A3S_TEST_SLOWNESS"] ?? "8");
const limitMin = Number(process.env["A3S_NESTED_LIMIT_MIN"] ?? (process.argv.includes("--all") ? "120" : "12"));
const testTimeoutMs = 30_000;
/** A Box takes ten times as long to make here as on a machine: a pod's and a container's life, and what differs by driver. */
const core = {
  "runtime-info": "Runtime information",
  "pod-sandbox": "its life",
  container: "its life",
  "exec-sync": "ExecSync (returns standard|reports a process|kills the process|fails, naming)",
  mounts: "Volume mounts (show a folder|can't be written)",
  logs: "Container log has a line per line",
  faults: "turns the sandbox NOTREADY",
};
const coreFiles = Object.keys(core).map((name) => `test/critest/${name}.test.ts`);
const coreTests = [...new Set(Object.values(core))].join("|");
const attempts = 3;
/** Of this process's environment; what is not a number is a path of the host. */
const passedOn = [
  ...["A3S_TEST_PODS", "A3S_TEST_EXECS", "A3S_TEST_CONTAINERS", "A3S_TEST_STREAM_MIB", "A3S_TEST_KEEP"],
  ...["A3S_SOAK_MINUTES", "A3S_SOAK_WORKERS", "A3S_SOAK_SEED"],
];

const startMs = performance.now();
await compile();
const given = process.argv.slice(2).filter((argument) => argument !== "--");
process.exitCode = await main();

async function main(): Promise<number> {
  const course = new Course();
  let only: readonly string[] | undefined;
  for (let attempt = 1; attempt <= attempts; attempt++) {
    if (attempt > 1)
      console.log(`\nkrun: attempt ${attempt} of ${attempts} in a fresh VM: ${only?.length ?? "all"} tests`);
    const run = await inOneVm(only);
    if (run.trouble !== undefined) console.error(run.trouble);
    if (run.trouble?.startsWith("interrupted by") === true) return 1;
    const next = course.take(run, attempt === attempts);
    if (next === "none") break;
    if (next !== "all") only = next;
  }
  for (const { title, error } of course.passedAtSecondTry) {
    console.log(`\npassed at the second try: ${title}\n${error ?? ""}`);
  }
  for (const { title, error } of course.failed) console.error(`\nfailed: ${title}\n${error ?? ""}`);
  const counts = `${course.passed.size} passed, ${course.failed.length} failed, ${course.skipped.size} skipped`;
  console.log(`\nkrun: ${counts} in ${((performance.now() - startMs) / 1000).toFixed(0)} s`);
  return course.failed.length === 0 && course.passed.size > 0 ? 0 : 1;
}

async function inOneVm(only: readonly string[] | undefined): Promise<VmRun> {
  const { results, failure } = await runInOuterVm({
    script: jobScript(only),
    memoryMib: Number(process.env["A3S_NESTED_MEMORY_MIB"] ?? "6144"),
    cpus: 2,
    limitMs: limitMin * 60_000,
    onOutput: (chunk) => process.stdout.write(chunk.replaceAll("\r", "")),
  });
  return vmRun(results, failure);
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

/** File arguments name the sources; what runs is compiled from them. `only`: the titles of the tests to run. */
function jobScript(only: readonly string[] | undefined): string {
  const files = given.filter((argument) => argument.endsWith(".test.ts"));
  const others = given.filter((argument) => !files.includes(argument) && argument !== "--all");
  const chosen = given.includes("--all") ? ["test/critest/*.test.ts"] : files.length > 0 ? files : coreFiles;
  if (only !== undefined) others.push("--grep", `^(${only.map(escaped).join("|")})$`);
  else if (given.length === 0) others.push("--grep", coreTests);
  const compiled = chosen.map((file) => `build/nested/${file.replace(/\.ts$/, ".js")}`);
  const mocha = ["node_modules/mocha/bin/mocha.js", "--no-config", "--no-package", "--exit", "--no-color"];
  const reporter = ["--reporter", "build/nested/test/support/nested-vm/reporter.js"];
  const words = [...mocha, ...reporter, "--timeout", String(testTimeoutMs * slowness), ...others, ...compiled];
  const passed = passedOn.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [`export ${name}=${quoted(value)}`];
  });
  return [
    `cd ${quoted(projectFolder)}`,
    `export A3S_TEST_DRIVER=krun A3S_TEST_SLOWNESS=${slowness} A3S_RESULTS_PLAN=1 NODE_ENV=test`,
    ...passed,
    ["exec", quoted(process.execPath), ...words.map(quoted)].join(" "),
    "",
  ].join("\n");
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
