import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { messageOf } from "../../src/base/errors.js";
import { buildDist } from "../setup/dist.js";
import { fingerprint } from "../setup/fingerprint.js";
import { interrupted } from "../setup/interrupted.js";
import { setUp, setupContext } from "../setup/set-up.js";
import { Stopwatch } from "../setup/stopwatch.js";
import { flakyReport, flakyVariable, isTooFlaky, readFlaky, type FlakyTest } from "./flaky.js";
import { addCounts, type Counts, countsOf, noCounts, runPart } from "./parts.js";

/** In this order: what fails fast comes first. */
const allParts = [
  "check",
  "test:unit",
  "test:native",
  "test:sanitized",
  "test:net",
  "test:image",
  "test:vmm",
  "test:systemd",
  "test:pool",
  "test:escape",
  "test:faults",
  "test:critest",
  "test:sandboxes",
  "test:models",
  "test:deploy",
  "test:operator",
  "test:beside",
  "test:soak",
  "test:kubelet",
  "test:krun",
];
/** `npm test -- test:unit …` runs only the parts named. */
const asked = process.argv.slice(2);
const parts = asked.length === 0 ? allParts : asked;

const watch = new Stopwatch();
const signal = interrupted();
const root = join(import.meta.dirname, "../..");
const context = setupContext(root, signal, (line) => {
  console.log(line);
});

const scratch = await mkdtemp(join(tmpdir(), "a3s-test-run-"));
const flakyFile = join(scratch, "flaky.jsonl");
const environment = {
  // What clippy has compiled serves every clone; cargo locks it.
  CARGO_TARGET_DIR: join(context.cache, "cargo-target", "check"),
  // By place: both remember files by their paths, and two clones that check at once would write over each other.
  A3S_CHECK_CACHE: join(context.cache, "check", fingerprint([root])),
  [flakyVariable]: flakyFile,
};

/** Of a part with failures, at the end again: what it says of them stands in its last lines. */
const repeatedLines = 60;

async function runParts(): Promise<Counts> {
  let sum = noCounts;
  const failed = new Map<string, string>();
  for (const part of parts) {
    console.log(`\n== npm run ${part}`);
    const result = await watch.time(part, () => runPart(part, root, signal, environment));
    const counts = countsOf(result);
    if (counts.failed > 0) failed.set(part, result.output);
    sum = addCounts(sum, counts);
    signal.throwIfAborted();
  }
  for (const [part, output] of failed) {
    console.log(`\n== with failures: ${part}, its last lines:\n${output.split("\n").slice(-repeatedLines).join("\n")}`);
  }
  return sum;
}

let sum: Counts = { ...noCounts, failed: 1 };
let flaky: readonly FlakyTest[] = [];
try {
  watch.add("npm packages", Number(process.env["BOOTSTRAP_MS"] ?? "0"));
  await watch.time("native parts", () => setUp(context, { drivers: ["qemu", "krun"], forTests: true }));
  await watch.time("compile the daemon", () => buildDist(context));
  sum = await runParts();
  flaky = await readFlaky(flakyFile);
} catch (thrown) {
  console.error(messageOf(thrown));
} finally {
  await rm(scratch, { recursive: true, force: true });
}
console.log(`\n${watch.table()}\n`);
if (flaky.length > 0) console.log(`${flakyReport(flaky)}\n`);
console.log(`${String(sum.passed)} passed, ${String(sum.failed)} failed, ${String(sum.skipped)} skipped`);
if (sum.failed > 0 || sum.passed === 0 || isTooFlaky(flaky)) process.exitCode = 1;
