import { spawn } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { RuntimeError } from "../../src/base/errors.js";

/**
 * Runs `critical` while holding a lock on a file, so that two clones on one machine take turns. The lock is held by
 * flock(1) (util-linux, on every Debian) and ends with this process, however that ends.
 */
export async function withLock<T>(path: string, signal: AbortSignal, critical: () => Promise<T>): Promise<T> {
  await mkdir(dirname(path), { recursive: true });
  const holder = spawn("flock", ["--exclusive", path, "sh", "-c", "echo held; exec cat >/dev/null"], {
    stdio: ["pipe", "pipe", "inherit"],
    signal,
  });
  const ended = new Promise<void>((resolve) => {
    holder.once("close", () => {
      resolve();
    });
  });
  await new Promise<void>((resolve, reject) => {
    holder.once("error", reject);
    holder.stdout.once("data", () => {
      resolve();
    });
    holder.once("exit", () => {
      reject(new RuntimeError("internal", `can't lock ${path}`));
    });
  });
  try {
    return await critical();
  } finally {
    holder.stdin.end();
    await ended;
  }
}
