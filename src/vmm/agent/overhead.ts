import type { Socket } from "node:net";
import type { CallScope } from "./call-scope.js";
import { broken } from "./wire-scan.js";

const kib = 1024;
const mib = 1024 * kib;

/**
 * What a connection may carry beside messages: headers, acknowledgements, and frames around small messages (as much again as
 * the messages, and once more); for each call what was under way when it was cancelled, which is a window at most; and
 * pings, for as long as it lives. An honest agent needs a hundredth of it.
 */
const allowance = { connection: 4 * mib, second: 64 * kib, call: mib, messageByte: 3 };
const lookMs = 500;

/**
 * Ends the channel of an agent that keeps the daemon busy with frames that say nothing: each costs time, and HTTP/2 has many
 * kinds of them. Messages are bounded where they are decoded.
 */
export function watchOverhead(socket: Socket, scope: CallScope): void {
  const began = { ms: performance.now(), calls: scope.calls, messageBytes: scope.messageBytes };
  const timer = setInterval(() => {
    const allowed =
      allowance.connection +
      ((performance.now() - began.ms) / 1000) * allowance.second +
      (scope.calls - began.calls) * allowance.call +
      (scope.messageBytes - began.messageBytes) * allowance.messageByte;
    if (socket.bytesRead > allowed) scope.break(broken(`${socket.bytesRead} bytes, of which few are messages`));
  }, lookMs);
  timer.unref();
  socket.once("close", () => {
    clearInterval(timer);
  });
}
