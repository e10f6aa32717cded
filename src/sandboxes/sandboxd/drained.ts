import { once, type EventEmitter } from "node:events";
import { anyOf } from "../../base/signals.js";
import { unlessIdle } from "./unless-idle.js";

/** Who takes no byte of a file for that long has gone, whatever its connection says: the file holds a process of the guest. */
export const readerIdleMs = 120_000;

/** Resolves when a stream that was full has room again. `idleMs` undefined: for as long as its connection is thought alive. */
export async function drained(stream: EventEmitter, idleMs: number | undefined, signal: AbortSignal): Promise<void> {
  const what = `the client has read nothing for ${String(idleMs)} ms`;
  await unlessIdle(idleMs, { what }, (idle) => once(stream, "drain", { signal: anyOf(signal, idle) }));
}
