/** What a streaming client sends to a process in the guest. */
import { messageOf } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import type { ProcessRef } from "../../gen/agent/v1/agent.js";
import type { TerminalSize } from "../../streaming/requests.js";
import type { AgentClient } from "../../vmm/agent/agent-client.js";

/**
 * Moves the client's stdin into the process, at the process's speed, and at its end closes the process's when `closes`
 * says so. A process that takes no more (it has exited, or has closed its stdin) lets the client go on: what it sends is
 * dropped. Never rejects.
 */
export async function feedStdin(
  agent: AgentClient,
  process: ProcessRef,
  stdin: AsyncIterable<Uint8Array>,
  closes: boolean,
  signal: AbortSignal,
): Promise<void> {
  try {
    const input = agent.input(process, signal);
    for await (const bytes of stdin) await input.write(bytes); // leaving it drops what comes later
    if (closes) await input.end();
    else input.close();
  } catch {
    await drop(stdin);
  }
}

async function drop(stdin: AsyncIterable<Uint8Array>): Promise<void> {
  const reading = stdin[Symbol.asyncIterator]();
  while ((await reading.next()).done !== true);
}

/** Gives the process's terminal every size that the client's has. Never rejects. */
export async function followSizes(
  agent: AgentClient,
  process: ProcessRef,
  sizes: AsyncIterable<TerminalSize>,
  signal: AbortSignal,
  log: Logger,
): Promise<void> {
  try {
    for await (const { width, height } of sizes) await agent.resize(process, width, height, signal);
  } catch (thrown) {
    if (!signal.aborted) log.debug({ err: messageOf(thrown) }, "terminal not resized");
  }
}
