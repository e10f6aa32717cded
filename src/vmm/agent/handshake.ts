import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import { RuntimeError } from "../../base/errors.js";

/** "AGENT " and 24 digits and a newline are 31 bytes; more without a newline is not the answer. */
const longestAnswerBytes = 64;

/**
 * Opens a connection to the agent before HTTP/2 (proto/agent/v1/agent.proto): says `HOST <nonce>` and wants
 * `AGENT <nonce>` as the very first bytes. A virtio port has no connections of its own, so without it a new
 * connection may begin in the middle of an old one's bytes. Leaves the socket paused, later bytes put back.
 */
export async function shakeHands(socket: Socket, limitMs: number, signal: AbortSignal): Promise<void> {
  const nonce = randomBytes(12).toString("hex");
  const answer = Buffer.from(`AGENT ${nonce}\n`);
  socket.write(`HOST ${nonce}\n`);
  const received = await firstLine(socket, limitMs, signal);
  const line = received.subarray(0, answer.length);
  if (!line.equals(answer)) throw new RuntimeError("unavailable", "the agent's first bytes are not our nonce");
  if (received.length > answer.length) socket.unshift(received.subarray(answer.length));
}

/** What arrives up to the chunk with the first newline. The socket is paused from then on. */
async function firstLine(socket: Socket, limitMs: number, signal: AbortSignal): Promise<Buffer> {
  return await new Promise<Buffer>((resolve, reject) => {
    let received = Buffer.alloc(0);
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
      if (received.includes(0x0a)) {
        stop();
        resolve(received);
      } else if (received.length > longestAnswerBytes) {
        fail("the agent's first bytes are not a line");
      }
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
