/**
 * The process that is killed: pulls, removes, prepares and removes snapshots in an image store, as fast as it can, and
 * says before and after each what it does. A line on its input tells it to begin, so that it is loaded by then.
 *
 * Arguments: the store's directory, and a reference of each image. Lanes work at the same time, each on images of its own.
 */
import { once } from "node:events";
import { writeSync } from "node:fs";
import type { Image, ImageStore } from "../../../src/image/image-store.js";
import { openTestStore } from "../image-store.js";

const lanes = 3;
const signal = new AbortController().signal;
const [directory = "", ...references] = process.argv.slice(2);

/** Not a byte of it is lost with the process: a short write to a pipe is done when it returns. */
function say(line: string): void {
  writeSync(1, `${line}\n`);
}

async function step(store: ImageStore, what: string, reference: string, run: () => Promise<unknown>): Promise<void> {
  say(`begin ${what} ${reference}`);
  try {
    await run();
    say(`end ${what} ${reference}`);
  } catch (thrown) {
    say(`failed ${what} ${reference} ${String(thrown)}`);
  }
}

async function work(store: ImageStore, lane: number): Promise<never> {
  const mine = references.filter((_, position) => position % lanes === lane);
  for (;;) {
    const reference = mine[Math.floor(Math.random() * mine.length)] ?? "";
    const key = keyOf(reference);
    const image: Image | undefined = await store.find(reference);
    const hasSnapshot = (await store.listSnapshots()).includes(key);
    const dice = Math.random();
    if (hasSnapshot && dice < 0.5) await step(store, "unmake", reference, () => store.removeSnapshot(key, signal));
    else if (image === undefined) await step(store, "pull", reference, () => store.pull(reference, undefined, signal));
    else if (hasSnapshot || dice < 0.6) await step(store, "remove", reference, () => store.remove(reference, signal));
    else await step(store, "make", reference, () => store.prepareSnapshot(key, image, signal));
  }
}

/** "127.0.0.1:5000/kills/image-3:v1" has the snapshot "image-3". */
function keyOf(reference: string): string {
  return /image-\d+/.exec(reference)?.[0] ?? "";
}

say("loaded");
await once(process.stdin, "data");
say("begin open store");
const store = await openTestStore(directory);
say("end open store");
await Promise.all(Array.from({ length: lanes }, (_, lane) => work(store, lane)));
