import { messageOf } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import { neverAborted } from "../../base/signals.js";
import { stage } from "../../base/stage.js";
import type { Processes, ProcessNumber } from "./process.js";

const forgetLimitMs = 10_000;

/** Kills what is left of a program whose client has its exit, or has gone. */
export async function forgetLost(processes: Processes, id: ProcessNumber, log: Logger): Promise<void> {
  try {
    await stage("forget a process", forgetLimitMs, neverAborted, (limit) => processes.forget(id, limit));
  } catch (thrown) {
    // With its sandbox it has gone anyway; else it stays listed, and is ended with the sandbox.
    log.debug({ process: id, err: messageOf(thrown) }, "could not forget a process");
  }
}
