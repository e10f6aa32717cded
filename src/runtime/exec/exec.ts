import { setTimeout as delay } from "node:timers/promises";
import { RuntimeError } from "../../base/errors.js";
import { shortId } from "../../base/ids.js";
import { anyOf } from "../../base/signals.js";
import { Stream, type ProcessRef } from "../../gen/agent/v1/agent.js";
import type { OutputReader } from "../../vmm/agent/agent-client.js";
import type { Box } from "../../vmm/box.js";
import type { Deps } from "../deps.js";
import { sigkill } from "../spec/signals.js";
import type { Container } from "../container/container.js";
import { undoLimitMs } from "../container/limits.js";
import { withExec } from "./exec-process.js";

/**
 * Kept of each stream; the rest is read and dropped, so that the process never blocks (kubernetes/cri-client
 * remote_runtime.go: no answer over 16 MiB).
 */
const maxStreamBytes = 16 * 1024 * 1024;
/** After the exit: the output ends when this long nothing came (a background child may hold the pipes open) … */
const quietMs = 500;
/** … or when this much time has passed. */
const drainMs = 5_000;
/** For the reader to notice that it was closed. */
const closeMs = 1_000;

export interface ExecResult {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly exitCode: number;
}

/**
 * Runs a command in a running container and waits for it. When `timeoutMs` (0: none) passes, everything it has started
 * is killed first, then the call fails with `deadlineExceeded`: kubelet reads that as a failed probe, any other error as
 * an unknown one. The same when the caller leaves.
 */
export async function execAndWait(
  container: Container,
  args: readonly string[],
  timeoutMs: number,
  deps: Deps,
  signal: AbortSignal,
): Promise<ExecResult> {
  return await withExec(container, "sync", { args, terminal: false, stdin: false }, deps, signal, (process, box) =>
    runExec(container, process, args, timeoutMs, box, signal),
  );
}

async function runExec(
  container: Container,
  process: ProcessRef,
  args: readonly string[],
  timeoutMs: number,
  box: Box,
  signal: AbortSignal,
): Promise<ExecResult> {
  const { agent } = box;
  // The time runs from here: how long the start takes is not the command's doing.
  const timeout = timeoutMs === 0 ? undefined : AbortSignal.timeout(timeoutMs);
  try {
    return await collect(process, box, timeout === undefined ? signal : anyOf(signal, timeout));
  } catch (thrown) {
    if (timeout?.aborted !== true || signal.aborted) throw thrown;
    // All of it, also when its first process has just exited by itself; `forget` would leave the others to the container.
    await agent.signalProcess(process, sigkill, true, AbortSignal.timeout(undoLimitMs)).catch(() => undefined);
    throw new RuntimeError("deadlineExceeded", `command ${JSON.stringify(args[0])} timed out after ${timeoutMs} ms`, {
      stage: `exec in container ${shortId(container.id)}`,
      cause: thrown,
    });
  }
}

async function collect(process: ProcessRef, { agent }: Box, signal: AbortSignal): Promise<ExecResult> {
  const reader = agent.output(process, 0n, true, signal);
  const collected = new Collected();
  const reading = collected.read(reader);
  try {
    const exit = await agent.wait(process, signal);
    await collected.settle(reading);
    return { stdout: collected.stdout.bytes(), stderr: collected.stderr.bytes(), exitCode: exit.code & 0xff };
  } finally {
    reader.close();
    await Promise.race([reading, delay(closeMs, undefined, { ref: false })]);
  }
}

/** One stream, cut off at its limit. */
class Capped {
  readonly #parts: Uint8Array[] = [];
  #size = 0;

  add(data: Uint8Array): void {
    const fits = data.subarray(0, maxStreamBytes - this.#size);
    if (fits.length === 0) return;
    this.#parts.push(fits);
    this.#size += fits.length;
  }

  bytes(): Buffer {
    return Buffer.concat(this.#parts, this.#size);
  }
}

class Collected {
  readonly stdout = new Capped();
  readonly stderr = new Capped();
  #chunks = 0;

  /** Resolves at the end of both streams; never rejects: the wait for the exit says what went wrong. */
  async read(reader: OutputReader): Promise<void> {
    try {
      for await (const chunk of reader) {
        this.#chunks += 1;
        (chunk.stream === Stream.STDERR ? this.stderr : this.stdout).add(chunk.data);
        if (chunk.end) return;
      }
    } catch {
      // Broken off: what has come is what there is.
    }
  }

  /** After the exit: until the end, or until nothing more seems to come. */
  async settle(reading: Promise<void>): Promise<void> {
    const ended = new AbortController();
    const end = reading.then(() => {
      ended.abort();
    });
    for (let waitedMs = 0; waitedMs < drainMs && !ended.signal.aborted; waitedMs += quietMs) {
      const before = this.#chunks;
      await Promise.race([end, delay(quietMs, undefined, { signal: ended.signal }).catch(() => undefined)]);
      if (this.#chunks === before) return;
    }
  }
}
