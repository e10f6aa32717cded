import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import { RuntimeError } from "../../base/errors.js";

/** What a daemon before us may have left in the channel; more without the answer is none of it. */
const mostStaleBytes = 256 * 1024;

/**
 * Opens a connection to the agent before HTTP/2 (proto/agent/v1/agent.proto): says `HOST <nonce>` and reads up to
 * `AGENT <nonce>`. A virtio port has no connections of its own: what comes before was written to an earlier one, and is
 * dropped. Leaves the socket paused, later bytes put back.
 */
export async function shakeHands(socket: Socket, limitMs: number, signal: AbortSignal): Promise<void> {
  const nonce = randomBytes(12).toString("hex");
  const answer = Buffer.from(`AGENT ${nonce}\n`);
  socket.write(`HOST ${nonce}\n`);
  const rest = await after(answer, socket, limitMs, signal);
  if (rest.length > 0) socket.unshift(rest);
}

/** What has arrived behind the answer when it is there. The socket is paused from then on. */
async function after(answer: Buffer, socket: Socket, limitMs: number, signal: AbortSignal): Promise<Buffer> {
  return await new Promise<Buffer>((resolve, reject) => {
    let received = Buffer.alloc(0);
    let dropped = 0;
    const timer = setTimeout(() => {
      fail("the agent did not answer the handshake in time");
    }, limitMs);
    const stop = (): void => {
      clearTimeout(timer);
      socket.off("data", onData).off("close", onClose).off("error", onError);
      signal.removeEventListener("abort", onAbort);
      socket.pause();
    };
    const fail = (why: string): void => {
      stop();
      reject(new RuntimeError("unavailable", why));
    };
    const onData = (chunk: Buffer): void => {
      received = Buffer.concat([received, chunk]);
      const at = received.indexOf(answer);
      if (at >= 0) {
        stop();
        resolve(received.subarray(at + answer.length));
        return;
      }
      const stale = Math.max(0, received.length - answer.length);
      dropped += stale;
      received = received.subarray(stale);
      if (dropped > mostStaleBytes) fail("the agent sends what is not our nonce");
    };
    const onClose = (): void => {
      fail("the agent's connection closed");
    };
    const onError = (error: Error): void => {
      fail(`the agent's connection broke: ${error.message}`);
    };
    const onAbort = (): void => {
      fail("given up");
    };
    socket.on("data", onData).on("close", onClose).on("error", onError);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}
