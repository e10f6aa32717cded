/**
 * `node --import=tsx test/support/run-files.ts DIRECTORY [mocha's arguments]`: every test file below a directory in a mocha process
 * of its own, `A3S_TEST_JOBS` at a time (2), in the random order of `A3S_TEST_SEED`. With `**` in DIRECTORY's place of a
 * file name ("test/unit/**") all below it runs in one process, its output shown as it comes; with `A3S_TEST_PROCESSES` in
 * that many, each with its share of the files.
 *
 * What fails is tried once more, alone. A test that passes only then counts as passed, and is named with its first
 * error: it is one to look into. From three such tests on the run has failed.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { randomInt } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pLimit from "p-limit";
import { isCollected, isTooFlaky, tellFlaky } from "../../scripts/test/flaky.js";
import { projectDirectory } from "./project.js";
import { escaped, inRandomOrder, resultOf, tally, type FileRun } from "./run-results.js";

const [directory, ...mochaArguments] = process.argv.slice(2);
if (directory === undefined) throw new Error("which directory of tests?");
const jobs = Number(process.env["A3S_TEST_JOBS"] ?? "2");
const seed = Number(process.env["A3S_TEST_SEED"] ?? String(randomInt(1_000_000)));

/** Ends the directory whose tests run together. */
const together = "/**";
const processes = Number(process.env["A3S_TEST_PROCESSES"] ?? "1");

/** Files of one mocha process. */
interface Job {
  readonly name: string;
  readonly files: readonly string[];
  /** Shown as it comes; else at its end. */
  readonly live: boolean;
}
/** After a file's end: a process that it has left may hold its output for ever. */
const outputLimitMs = 20_000;

/** Asked to end, mocha ends the test that runs, with what cleans up after it. */
const running = new Set<ChildProcess>();
let ending = false;
for (const name of ["SIGINT", "SIGTERM"] as const) {
  process.on(name, () => {
    ending = true;
    for (const child of running) child.kill("SIGINT");
  });
}

const startMs = performance.now();
const scratch = await mkdtemp(join(tmpdir(), "a3s-run-"));
try {
  await runAll(directory.endsWith(together) ? await togetherIn(directory) : await apartIn(directory));
} finally {
  await rm(scratch, { recursive: true, force: true });
}

async function filesBelow(directory: string): Promise<string[]> {
  const names = await readdir(join(projectDirectory, directory), { recursive: true });
  return names
    .filter((name) => name.endsWith(".test.ts"))
    .sort()
    .map((name) => join(directory, name));
}

async function apartIn(directory: string): Promise<Job[]> {
  const files = await filesBelow(directory);
  console.log(`${files.length} files, A3S_TEST_JOBS=${jobs} A3S_TEST_SEED=${seed}`);
  return inRandomOrder(files, seed).map((file) => ({ name: file, files: [file], live: false }));
}

async function togetherIn(directory: string): Promise<Job[]> {
  if (processes === 1) return [{ name: directory, files: [`${directory}/*.test.ts`], live: true }];
  const files = await filesBelow(directory.slice(0, -together.length));
  const shares = Array.from({ length: processes }, (_, at) => files.filter((_, index) => index % processes === at));
  return shares.map((share, at) => ({
    name: `${directory} (${at + 1} of ${processes})`,
    files: share,
    live: at === 0,
  }));
}

async function runAll(all: readonly Job[]): Promise<void> {
  const turn = pLimit(jobs);
  const first = await Promise.all(all.map((job) => turn(() => runJob(job, mochaArguments))));
  const again: FileRun[] = [];
  for (const [at, run] of first.entries()) {
    const once = onlyFailed(run);
    const job = all[at];
    if (once !== undefined && job !== undefined) again.push(await runJob(job, [...mochaArguments, ...once]));
  }
  const { passed, failed, skipped, second } = tally(first, again);
  const flaky = second.map(({ title, error }) => ({ part: directory ?? "", title, error: error ?? "" }));
  await tellFlaky(flaky, process.env);
  for (const { title, error } of failed) console.log(`\nfailed: ${title}\n${error ?? ""}`);
  const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
  const counts = `${passed} passed, ${failed.length} failed, ${skipped} skipped`;
  console.log(`\n${directory}: ${counts} in ${seconds} s; ${second.length} passed at the second try`);
  const isLucky = isTooFlaky(flaky) && !isCollected(process.env);
  // Each skip has its reason in the output; a part that ran no test at all is a mistake in its file names.
  process.exitCode = failed.length === 0 && passed + skipped > 0 && !isLucky ? 0 : 1;
}

async function runJob({ name, files, live }: Job, more: readonly string[]): Promise<FileRun> {
  if (ending) return { file: name, results: [], status: null };
  const channel = join(scratch, `${randomInt(2 ** 40)}.jsonl`);
  const mocha = ["--import=tsx", join(projectDirectory, "node_modules/mocha/bin/mocha.js"), "--exit"];
  const reporter = ["--reporter", join(projectDirectory, "test/support/nested-vm/reporter.ts")];
  const child = spawn(process.execPath, [...mocha, ...reporter, ...more, ...files], {
    cwd: projectDirectory,
    env: { ...process.env, A3S_RESULTS: channel },
    stdio: ["ignore", live ? "inherit" : "pipe", live ? "inherit" : "pipe"],
  });
  running.add(child);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (chunk: string) => (output += chunk));
  }
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
    child.once("exit", (code) => setTimeout(resolve, outputLimitMs, code).unref());
  });
  const isHeld = child.stdout?.closed === false || child.stderr?.closed === false;
  if (isHeld) output += `\n${name} has left a process that holds its output\n`;
  for (const stream of [child.stdout, child.stderr]) stream?.destroy();
  running.delete(child);
  const lines = (await readFile(channel, "utf8").catch(() => "")).split("\n").filter((line) => line !== "");
  if (!live && (lines.length > 0 || status !== 0)) process.stdout.write(`\n-- ${name}\n${output}`);
  return { file: name, results: lines.map(resultOf), status };
}

/** Mocha's arguments for what failed in a file; none, the whole file, where a hook failed or mocha ended badly. */
function onlyFailed(run: FileRun): string[] | undefined {
  const titles = run.results.filter(({ state }) => state === "failed").map(({ title }) => title);
  if (titles.length === 0) return run.status === 0 ? undefined : [];
  if (titles.some((title) => title.includes('" hook'))) return [];
  return ["--grep", titles.map((title) => `^${escaped(title)}$`).join("|")];
}
