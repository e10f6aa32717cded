import type { ServerResponse } from "node:http";
import { RuntimeError } from "../../../base/errors.js";
import { drained, readerIdleMs } from "../drained.js";

/** Bytes as fast as the client takes them. */
export async function sendBody(
  response: ServerResponse,
  data: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
  idleMs = readerIdleMs,
): Promise<void> {
  for await (const bytes of data) {
    if (signal.aborted || response.destroyed) throw new RuntimeError("canceled", "the client has gone");
    if (!response.write(bytes)) await drained(response, idleMs, signal);
  }
  response.end();
}
