import { lstat } from "node:fs/promises";
import { isNotFound } from "../../base/errors.js";
import { sleep } from "../../base/stage.js";

const pollMs = 5;

/**
 * Resolves when a program has bound its socket at this path. A link is none: a VMM that has been taken over must not
 * lead the daemon to another program's socket. Rejects when the signal aborts.
 */
export async function waitForSocket(path: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    if (await isSocket(path)) return;
    await sleep(pollMs, signal);
  }
}

async function isSocket(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isSocket();
  } catch (thrown) {
    if (isNotFound(thrown)) return false;
    throw thrown;
  }
}
