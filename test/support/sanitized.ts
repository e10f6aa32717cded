/**
 * `node --import=tsx test/support/sanitized.ts COMMAND...`: runs a command whose Node can load the addon's build with
 * AddressSanitizer, and whose tests take it and the launcher's.
 */
import { execFileSync, spawn } from "node:child_process";

const [command, ...args] = process.argv.slice(2);
if (command === undefined) throw new Error("which command?");
/** It has to be there before anything else is. */
const runtime = execFileSync("g++", ["-print-file-name=libasan.so"], { encoding: "utf8" }).trim();
const environment = {
  ...process.env,
  A3S_SANITIZED: "1",
  LD_PRELOAD: runtime,
  // Node keeps what it has until its end. A fault's status is one that no program of the tests has.
  ASAN_OPTIONS: "detect_leaks=0:exitcode=97",
  UBSAN_OPTIONS: "print_stacktrace=1:exitcode=97",
};
const child = spawn(command, args, { stdio: "inherit", env: environment });
for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => child.kill(name));
process.exitCode = await new Promise<number>((resolve, reject) => {
  child.once("error", reject);
  child.once("close", (code) => {
    resolve(code ?? 1);
  });
});
