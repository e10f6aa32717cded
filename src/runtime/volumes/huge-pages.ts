/** Huge pages of containers in a Box: they are the guest's, set aside by its agent (docs/adr/0044). */
import { messageOf, RuntimeError } from "../../base/errors.js";
import { stage } from "../../base/stage.js";
import type { Box } from "../../vmm/box.js";
import type { GuestFacts } from "../boundary/boundary.js";
import { stepLimitMs } from "../container/limits.js";

/** A guest has two; what says more is none. */
const maxSizes = 16;

/** Which sizes a Box's guest has, in KiB. Empty where containers can't have any: an agent of an earlier version. */
export async function hugePageKib(box: Box, signal: AbortSignal): Promise<readonly bigint[]> {
  const guest = await stage("ask for huge pages", stepLimitMs, signal, (limit) => box.agent.guest(limit));
  return guest.hugePageKib.slice(0, maxSizes);
}

export function hugePageFacts(box: Box, signal: AbortSignal): GuestFacts {
  return { hugePageKib: () => hugePageKib(box, signal) };
}

/** What the agent refuses because its guest has no room for the pages, with what can be done about it. */
export async function explained<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (thrown) {
    const message = messageOf(thrown);
    const isShort = thrown instanceof RuntimeError && thrown.code === "resourceExhausted" && /huge/.test(message);
    if (!isShort) throw thrown;
    throw new RuntimeError("resourceExhausted", message, {
      hint:
        "a Box's huge pages are a part of its memory: raise the memory limits of the pod by as much, or memory_mib of its " +
        "handler, or the annotation a3s-box/memory-mib where the handler allows it",
      cause: thrown,
    });
  }
}
