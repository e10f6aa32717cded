/**
 * `node --import=tsx test/support/run-files.ts FOLDER [mocha's arguments]`: every test file below a folder in a mocha process
 * of its own, `A3S_TEST_JOBS` at a time (2), in the random order of `A3S_TEST_SEED`. With `**` in FOLDER's place of a
 * file name ("test/unit/**") all below it runs in one process, its output shown as it comes.
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
import { projectFolder } from "./project.js";
import { escaped, inRandomOrder, resultOf, tally, type FileRun } from "./run-results.js";

const [folder, ...mochaArguments] = process.argv.slice(2);
if (folder === undefined) throw new Error("which folder of tests?");
const jobs = Number(process.env["A3S_TEST_JOBS"] ?? "2");
const seed = Number(process.env["A3S_TEST_SEED"] ?? String(randomInt(1_000_000)));

/** Ends the folder whose tests run in one process. */
const together = "/**";
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
  await runAll(folder.endsWith(together) ? [`${folder}/*.test.ts`] : await filesOf(folder));
} finally {
  await rm(scratch, { recursive: true, force: true });
}

async function filesOf(folder: string): Promise<string[]> {
  const names = (await readdir(join(projectFolder, folder), { recursive: true })).filter((name) =>
    name.endsWith(".test.ts"),
  );
  console.log(`${names.length} files, A3S_TEST_JOBS=${jobs} A3S_TEST_SEED=${seed}`);
  return inRandomOrder(names.sort(), seed).map((name) => join(folder, name));
}

async function runAll(files: readonly string[]): Promise<void> {
  const turn = pLimit(jobs);
  const first = await Promise.all(files.map((file) => turn(() => runFile(file, mochaArguments))));
  const again: FileRun[] = [];
  for (const run of first) {
    const once = onlyFailed(run);
    if (once !== undefined) again.push(await runFile(run.file, [...mochaArguments, ...once]));
  }
  const { passed, failed, skipped, second } = tally(first, again);
  const flaky = second.map(({ title, error }) => ({ part: folder ?? "", title, error: error ?? "" }));
  await tellFlaky(flaky, process.env);
  for (const { title, error } of failed) console.log(`\nfailed: ${title}\n${error ?? ""}`);
  const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
  const counts = `${passed} passed, ${failed.length} failed, ${skipped} skipped`;
  console.log(`\n${folder}: ${counts} in ${seconds} s; ${second.length} passed at the second try`);
  const isLucky = isTooFlaky(flaky) && !isCollected(process.env);
  process.exitCode = failed.length === 0 && passed > 0 && !isLucky ? 0 : 1;
}

async function runFile(file: string, more: readonly string[]): Promise<FileRun> {
  if (ending) return { file, results: [], status: null };
  const channel = join(scratch, `${randomInt(2 ** 40)}.jsonl`);
  const live = file.includes(together);
  const mocha = ["--import=tsx", join(projectFolder, "node_modules/mocha/bin/mocha.js"), "--exit"];
  const reporter = ["--reporter", join(projectFolder, "test/support/nested-vm/reporter.ts")];
  const child = spawn(process.execPath, [...mocha, ...reporter, ...more, file], {
    cwd: projectFolder,
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
  if (isHeld) output += `\n${file} has left a process that holds its output\n`;
  for (const stream of [child.stdout, child.stderr]) stream?.destroy();
  running.delete(child);
  const lines = (await readFile(channel, "utf8").catch(() => "")).split("\n").filter((line) => line !== "");
  if (!live && (lines.length > 0 || status !== 0)) process.stdout.write(`\n-- ${file}\n${output}`);
  return { file, results: lines.map(resultOf), status };
}

/** Mocha's arguments for what failed in a file; none, the whole file, where a hook failed or mocha ended badly. */
function onlyFailed(run: FileRun): string[] | undefined {
  const titles = run.results.filter(({ state }) => state === "failed").map(({ title }) => title);
  if (titles.length === 0) return run.status === 0 ? undefined : [];
  if (titles.some((title) => title.includes('" hook'))) return [];
  return ["--grep", titles.map((title) => `^${escaped(title)}$`).join("|")];
}
