import type { CommandRequest, CommandStreams } from "../requests.js";
import type { CommandOutcome } from "./status.js";

/** Runs the command; a client that has gone makes it throw, everything else is for the error channel. */
export async function outcomeOf(
  request: CommandRequest,
  streams: CommandStreams,
  signal: AbortSignal,
): Promise<CommandOutcome> {
  try {
    return { end: await request.run(streams, signal) };
  } catch (failure) {
    signal.throwIfAborted();
    return { failure };
  }
}
