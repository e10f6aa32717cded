/**
 * A body that comes too slowly is given up like one that doesn't come: a byte now and then would else keep a pull waiting
 * for ever. Only time in which the sender is waited for counts, not the disk's.
 */

/** What has to come in each time of the stall limit, which is a minute by default: 1 KiB/s. */
const leastBytes = 64 * 1024;

/** Read like undici's own, failure.ts. */
export const tooSlowCode = "A3S_BODY_TOO_SLOW";

export class TooSlow extends Error {
  readonly code = tooSlowCode;
  readonly bytes: number;

  constructor(bytes: number) {
    super(`only ${bytes} bytes came`);
    this.bytes = bytes;
  }
}

export async function* paced(body: AsyncIterable<Uint8Array>, stallMs: number): AsyncGenerator<Uint8Array> {
  let waitedMs = 0;
  let bytes = 0;
  let askedMs = performance.now();
  for await (const chunk of body) {
    waitedMs += performance.now() - askedMs;
    bytes += chunk.byteLength;
    if (bytes >= leastBytes) [waitedMs, bytes] = [0, 0];
    if (waitedMs >= stallMs) throw new TooSlow(bytes);
    yield chunk;
    askedMs = performance.now();
  }
}
