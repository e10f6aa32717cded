/**
 * Loaded into a daemon by NODE_OPTIONS: at SIGUSR2 it collects all garbage and writes what the process holds to A3S_PROBE_FILE,
 * as one line of JSON with a number that goes up.
 */
import { readdirSync, renameSync, writeFileSync } from "node:fs";
import process from "node:process";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

const file = process.env["A3S_PROBE_FILE"];
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc");
let sample = 0;

process.on("SIGUSR2", () => {
  // The second frees what finalizers of the first have let go of.
  collect();
  setImmediate(() => {
    collect();
    const resources = {};
    for (const kind of process.getActiveResourcesInfo()) resources[kind] = (resources[kind] ?? 0) + 1;
    const { rss, heapUsed, external } = process.memoryUsage();
    sample += 1;
    const said = { sample, rss, heapUsed, external, resources, descriptors: readdirSync("/proc/self/fd").length };
    writeFileSync(`${file}.new`, JSON.stringify(said));
    renameSync(`${file}.new`, file);
  });
});
