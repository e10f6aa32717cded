/**
 * `node --import=tsx test/support/sanitized.ts COMMAND...`: runs a command whose Node can load the addon's build with
 * AddressSanitizer, and whose tests take it and the launcher's. What the sanitizers have reported of any process is
 * printed at the end: a process may have been ended by it whose output nobody reads.
 */
import { execFileSync, spawn } from "node:child_process";
import { chmod, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [command, ...args] = process.argv.slice(2);
if (command === undefined) throw new Error("which command?");
/** It has to be there before anything else is. */
const runtime = execFileSync("g++", ["-print-file-name=libasan.so"], { encoding: "utf8" }).trim();
const reports = await mkdtemp(join(tmpdir(), "a3s-sanitized-"));
try {
  // Each process makes a file of its own in it, whoever it runs as.
  await chmod(reports, 0o1777);
  process.exitCode = await run(command);
} finally {
  await printReports();
  await rm(reports, { recursive: true, force: true });
}

async function run(program: string): Promise<number> {
  const log = `log_path=${join(reports, "of")}`;
  const environment = {
    ...process.env,
    A3S_SANITIZED: "1",
    LD_PRELOAD: runtime,
    // Node keeps what it has until its end. A fault's status is one that no program of the tests has.
    ASAN_OPTIONS: `detect_leaks=0:exitcode=97:${log}`,
    UBSAN_OPTIONS: `print_stacktrace=1:exitcode=97:${log}`,
  };
  const child = spawn(program, args, { stdio: "inherit", env: environment });
  for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => child.kill(name));
  return await new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      resolve(code ?? 1);
    });
  });
}

async function printReports(): Promise<void> {
  for (const name of await readdir(reports)) {
    const text = await readFile(join(reports, name), "utf8");
    // A child on a stack of its own that leaves is warned of each time: addon/child_stack.h.
    if (/ERROR: |runtime error: /.test(text)) console.log(`\nthe sanitizers' report ${name}:\n${text}`);
  }
}
