import type { Logger } from "../../base/log.js";
import { messageOf } from "../../base/errors.js";
import type { OutputReader } from "../../vmm/agent/agent-client.js";
import type { LogFile } from "./log-file.js";
import { LogLines } from "./log-lines.js";
import type { OutputTaps } from "./output-taps.js";

/** What can be said of an output's end. */
export type PumpEnd = "complete" | "broken" | "stopped";

/**
 * Moves a container's output into its log, or nowhere when there is none: the output is drained all the same. A chunk
 * is acknowledged once it is written, and goes to attached clients then.
 *
 * "complete": the last byte of both streams is in the log. "broken": the agent is gone; what had come is written.
 * "stopped": by the signal; what was not acknowledged will come again. Never rejects.
 */
export async function pumpOutput(
  reader: OutputReader,
  file: LogFile | undefined,
  resumeAfterNs: bigint,
  taps: OutputTaps,
  signal: AbortSignal,
  log: Logger,
): Promise<PumpEnd> {
  const lines = new LogLines(resumeAfterNs);
  try {
    for await (const chunk of reader) {
      const batch = lines.push(chunk);
      await file?.append(batch.bytes);
      if (batch.acknowledge !== undefined) reader.acknowledge(batch.acknowledge);
      await taps.publish(chunk);
      if (batch.end) return "complete";
    }
  } catch (thrown) {
    if (!signal.aborted) log.warn({ err: messageOf(thrown) }, "container output broke off");
  } finally {
    taps.end();
    reader.close();
  }
  if (signal.aborted) return "stopped";
  await file?.append(lines.flush());
  return "broken";
}
