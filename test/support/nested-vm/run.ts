/**
 * `npm run test:krun [-- --all | <files> <mocha's arguments> | <program> <its arguments>]`: conformance tests with the
 * krun driver, in a VM that has a KVM; by itself the core ones, `--all` is every file. A program is one of this project
 * that is no test ("bench/run.ts overhead"). All is compiled first: a TypeScript loader under emulation costs more than
 * the tests.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { isCollected, isTooFlaky, tellFlaky } from "../../../scripts/test/flaky.js";
import { projectDirectory } from "../project.js";
import { Course } from "./course.js";
import { compiled, isProgram, jobScript } from "./job.js";
import { runInOuterVm, type OuterResult } from "./machine.js";
import { vmRun, type VmRun } from "./verdict.js";

const limitMin = Number(process.env["A3S_NESTED_LIMIT_MIN"] ?? (process.argv.includes("--all") ? "120" : "12"));
const attempts = 3;
const startMs = performance.now();
await compile();
const given = process.argv.slice(2).filter((argument) => argument !== "--");
// mocha warns of a name that fits nothing, and goes on with the others.
const absent = given.find((word) => word.endsWith(".ts") && !existsSync(join(projectDirectory, compiled(word))));
if (absent !== undefined) throw new Error(`${absent} is not compiled for the VM: test/support/nested-vm/tsconfig.json`);
process.exitCode = isProgram(given) ? await program() : await main();

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
  const flaky = course.passedAtSecondTry.map(({ title, error }) => ({ part: "krun", title, error: error ?? "" }));
  await tellFlaky(flaky, process.env);
  for (const { title, error } of course.failed) console.error(`\nfailed: ${title}\n${error ?? ""}`);
  const counts = `${course.passed.size} passed, ${course.failed.length} failed, ${course.skipped.size} skipped`;
  console.log(`\nkrun: ${counts} in ${((performance.now() - startMs) / 1000).toFixed(0)} s`);
  const isLucky = isTooFlaky(flaky) && !isCollected(process.env);
  return course.failed.length === 0 && course.passed.size > 0 && !isLucky ? 0 : 1;
}

/** Answers the program's exit status. */
async function program(): Promise<number> {
  const { results, failure } = await outerVm();
  if (failure !== undefined) console.error(failure);
  const end = z.object({ exit: z.number() }).safeParse(JSON.parse(results.at(-1) ?? "null"));
  return failure === undefined && end.success ? end.data.exit : 1;
}

async function inOneVm(only: readonly string[] | undefined): Promise<VmRun> {
  const { results, failure } = await outerVm(only);
  return vmRun(results, failure);
}

async function outerVm(only?: readonly string[]): Promise<OuterResult> {
  return await runInOuterVm({
    script: jobScript(given, only),
    memoryMib: Number(process.env["A3S_NESTED_MEMORY_MIB"] ?? "6144"),
    cpus: 2,
    limitMs: limitMin * 60_000,
    onOutput: (chunk) => process.stdout.write(chunk.replaceAll("\r", "")),
  });
}

/** Only transpiles: types are the matter of `npm run check`. */
async function compile(): Promise<void> {
  const config = join(projectDirectory, "test/support/nested-vm/tsconfig.json");
  const compiler = spawn(
    process.execPath,
    [join(projectDirectory, "node_modules/typescript/bin/tsc"), "--noCheck", "-p", config],
    {
      stdio: "inherit",
    },
  );
  const status = await new Promise((resolve) => compiler.once("close", resolve));
  if (status !== 0) throw new Error("the tests don't compile");
}
