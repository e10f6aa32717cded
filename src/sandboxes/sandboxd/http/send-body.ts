import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { RuntimeError } from "../../../base/errors.js";
import { anyOf } from "../../../base/signals.js";

/** A client that takes no byte for that long has gone, whatever its connection says. */
const readerIdleMs = 120_000;

/** Bytes as fast as the client takes them. */
export async function sendBody(
  response: ServerResponse,
  data: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
  idleMs = readerIdleMs,
): Promise<void> {
  for await (const bytes of data) {
    if (signal.aborted || response.destroyed) throw new RuntimeError("canceled", "the client has gone");
    if (response.write(bytes)) continue;
    const idle = new AbortController();
    const timer = setTimeout(() => {
      idle.abort(new RuntimeError("deadlineExceeded", `the client has read nothing for ${String(idleMs)} ms`));
    }, idleMs);
    try {
      await once(response, "drain", { signal: anyOf(signal, idle.signal) });
    } finally {
      clearTimeout(timer);
    }
  }
  response.end();
}
