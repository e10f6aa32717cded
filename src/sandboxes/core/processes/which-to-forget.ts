import type { KeptProcess } from "./kept-process.js";

/** So many that have ended are kept, however long ago. */
const keptEnded = 64;
/** More than that for so long, in which who has started one comes for its output … */
const graceMs = 60_000;
/** … but never more than these. */
const mostEnded = 512;
/** Of their output in files, in rings of a process: what 64 of them may have. */
const mostEndedRings = 64;

/** Of those that have ended, the oldest beyond what is kept; never one that somebody reads. */
export function whichToForget(all: Iterable<KeptProcess>, ringBytes: number, nowMs: number): KeptProcess[] {
  const ended = [...all]
    .flatMap((process) => (process.exit === undefined ? [] : [{ process, atMs: process.exit.atMs }]))
    .sort((a, b) => b.atMs - a.atMs);
  let bytes = 0;
  return ended.flatMap(({ process, atMs }, newer) => {
    bytes += process.bytes;
    const isTooMany = newer >= mostEnded || (newer >= keptEnded && nowMs - atMs > graceMs);
    return !process.isRead && (isTooMany || bytes > mostEndedRings * ringBytes) ? [process] : [];
  });
}
