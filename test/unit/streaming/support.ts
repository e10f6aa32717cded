import { createLogger } from "../../../src/base/log.js";
import type { CommandRequest, CommandStreams } from "../../../src/streaming/requests.js";
import { serveStreaming, type StreamingServer } from "../../../src/streaming/server.js";

export async function testServer(idleTimeoutMs = 60_000): Promise<StreamingServer> {
  const log = createLogger("error", { write: () => undefined });
  return await serveStreaming({ address: "127.0.0.1", port: 0, idleTimeoutMs, tls: undefined }, log);
}

export function command(
  part: Partial<Omit<CommandRequest, "run">>,
  run: (streams: CommandStreams, signal: AbortSignal) => Promise<number | undefined>,
): CommandRequest {
  return { kind: "exec", stdin: false, stdout: true, stderr: false, tty: false, ...part, run };
}

export async function textOf(source: AsyncIterable<Uint8Array> | undefined): Promise<string> {
  const parts: Uint8Array[] = [];
  if (source !== undefined) for await (const part of source) parts.push(part);
  return Buffer.concat(parts).toString();
}

export async function aborted(signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => {
      resolve();
    });
  });
}

/** The message of what a promise throws. */
export async function failureOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown);
  }
  throw new Error("it did not fail");
}
