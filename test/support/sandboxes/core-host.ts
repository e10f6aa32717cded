/** `core-host.ts BASE WANTED…`: a process with the core in it, to be killed. Makes a sandbox for each JSON of SandboxWanted, and says what it has. */
import { neverAborted } from "../../../src/base/signals.js";
import type { SandboxWanted } from "../../../src/sandboxes/core/sandbox.js";
import { openCore, someCaller, wantedSandbox } from "./open-core.js";
import { busybox } from "../images.js";

function isWanted(value: unknown): value is Partial<SandboxWanted> {
  return typeof value === "object" && value !== null;
}

const [base = "", ...texts] = process.argv.slice(2);
const core = await openCore(base, "", [await busybox()]);
const views = [];
for (const text of texts) {
  const wanted: unknown = JSON.parse(text);
  views.push(await core.sandboxes.create(someCaller, wantedSandbox(isWanted(wanted) ? wanted : {}), neverAborted));
}
process.stdout.write(`${JSON.stringify(views)}\n`);
setInterval(() => undefined, 1_000_000);
