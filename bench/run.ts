/** `npm run bench -- NAME [--json] [--runs N]`: exit status 1 where a ratio misses its goal. */
import { parseArgs } from "node:util";
import { missed, printTable, type Report } from "./report.js";
import { benchBefore } from "./before.js";
import { benchBurst } from "./burst.js";
import { benchContainers } from "./containers.js";
import { benchDensity } from "./density.js";
import { benchExec } from "./exec.js";
import { benchFiles } from "./files.js";
import { benchGuest } from "./guest.js";
import { benchKernel } from "./kernel.js";
import { benchLlm } from "./llm.js";
import { benchNetwork } from "./network/network.js";
import { benchNative } from "./native/native.js";
import { benchOverhead } from "./overhead.js";
import { benchPool } from "./pool.js";
import { benchBusy } from "./pull/busy.js";
import { benchPull } from "./pull/pull.js";
import { benchSandboxes } from "./sandboxes.js";
import { benchStart } from "./start.js";

export interface BenchOptions {
  readonly runs: number;
}

const benches: Readonly<Record<string, (options: BenchOptions) => Promise<Report>>> = {
  start: benchStart,
  before: benchBefore,
  exec: benchExec,
  files: benchFiles,
  guest: benchGuest,
  kernel: benchKernel,
  pool: benchPool,
  burst: benchBurst,
  density: benchDensity,
  pull: benchPull,
  busy: benchBusy,
  containers: benchContainers,
  native: benchNative,
  overhead: benchOverhead,
  network: benchNetwork,
  sandboxes: benchSandboxes,
  llm: benchLlm,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: "boolean", default: false }, runs: { type: "string", default: "20" } },
});
const runs = Number(values.runs);
const bench = benches[positionals[0] ?? ""];
if (bench === undefined || !Number.isInteger(runs) || runs < 1) {
  console.error(`usage: npm run bench -- (${Object.keys(benches).join(" | ")}) [--json] [--runs N]`);
  process.exit(2);
}
// what a bench waits for (a Box's agent, a process's end) does not keep Node running by itself
const awake = setInterval(() => undefined, 60_000);
const report = await bench({ runs });
clearInterval(awake);
printTable(report);
if (values.json) console.log(JSON.stringify(report));
process.exit(missed(report).length > 0 ? 1 : 0);
