import { messageOf } from "../base/errors.js";
import { shortId } from "../base/ids.js";
import type { Logger } from "../base/log.js";
import { stage } from "../base/stage.js";

const oneStrayLimitMs = 30_000;

/** Discards what no record names; one that can't be discarded keeps no other. */
export async function eachStray<T extends string>(
  names: readonly T[],
  signal: AbortSignal,
  log: Logger,
  discard: (name: T, limit: AbortSignal) => Promise<void>,
): Promise<void> {
  for (const name of names) {
    try {
      await stage(`discard ${shortId(name)}`, oneStrayLimitMs, signal, (limit) => discard(name, limit));
    } catch (thrown) {
      if (signal.aborted) throw thrown;
      log.error(
        { stray: name, err: messageOf(thrown) },
        "what no record names could not be discarded; the next start tries again",
      );
    }
  }
}
