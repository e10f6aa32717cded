import { access } from "node:fs/promises";
import { sleep } from "../../base/stage.js";

const pollMs = 5;

/** Resolves when the path exists: a program has bound its socket. Rejects when the signal aborts. */
export async function waitForFile(path: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    if (await exists(path)) return;
    await sleep(pollMs, signal);
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}
