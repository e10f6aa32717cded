import { codeOf } from "../../base/errors.js";
import type { PullObserver, PullWatch } from "../image-store.js";

/** Runs a pull with both told: the observer of all pulls, and the watch that one caller has brought. */
export async function observed<T>(
  observer: PullObserver | undefined,
  registry: string,
  watch: PullWatch | undefined,
  pull: (watch: PullWatch | undefined) => Promise<T>,
): Promise<T> {
  if (observer === undefined) return await pull(watch);
  const seen = observer.began(registry);
  const both: PullWatch = {
    planned: (layers) => watch?.planned(layers),
    received: (blob, bytes) => {
      seen.received(bytes);
      watch?.received(blob, bytes);
    },
  };
  try {
    const pulled = await pull(both);
    seen.ended(undefined);
    return pulled;
  } catch (thrown) {
    seen.ended(codeOf(thrown));
    throw thrown;
  }
}
