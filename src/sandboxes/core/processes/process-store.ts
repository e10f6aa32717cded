import type { Processes } from "../process.js";

/** The processes of one sandbox, and what its life does with them. */
export interface ProcessStore extends Processes {
  /**
   * Once after a restart of the daemon, for a sandbox that was there: waits for its Box (`liveBox`), follows the processes
   * that run in it, and records the end of those that have gone. Until then calls about them wait. Never needed for a new
   * sandbox. Fails with the signal's reason alone, and may be called again then.
   */
  takeUp(signal: AbortSignal): Promise<void>;
  /** The daemon stops: processes run on, and nothing of them is lost. Connections end with `unavailable`. */
  close(): Promise<void>;
  /** The sandbox has ended, its Box too: connections end, records and output are removed. Success when there are none. */
  remove(): Promise<void>;
}
