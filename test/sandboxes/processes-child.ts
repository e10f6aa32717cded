/** A daemon's part in processes, to be killed: opens them over a Box that is there, starts some, and follows them all. */
import { boxId } from "../../src/base/ids.js";
import { decodeRecord } from "../../src/base/record-file.js";
import type { ProcessWanted } from "../../src/sandboxes/core/process.js";
import type { BoxHandle } from "../../src/vmm/box.js";
import { openFactory, within } from "../vmm/bench-of-boxes.js";
import { execsOf, openIn } from "./process-bench.js";

const [directory = "", boxes = "", id = "", handle = "", sessionId = "", starts = "[]"] = process.argv.slice(2);
// Another process has the state directory, and what is made in it.
const factory = await openFactory(boxes, { templates: false });
const box = await factory.adopt(boxId(id), decodeRecord(handle) as BoxHandle, within(30_000));
if (box === null) throw new Error("the Box is gone");
const processes = await openIn(directory, execsOf(box, sessionId));
await processes.takeUp(within(30_000));
for (const wanted of JSON.parse(starts) as ProcessWanted[]) await processes.start(wanted, within(20_000));

/** Says how much comes, so that whoever kills this does so in the middle of it. */
async function tell(number: number): Promise<void> {
  for await (const event of processes.connect(number, "now", new AbortController().signal)) {
    if (event.kind === "output") process.stdout.write(".");
  }
}
await Promise.all(processes.list().map((one) => tell(one.id)));
setInterval(() => undefined, 1000);
