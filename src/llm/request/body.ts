/** A request's body, whole: it is judged before anything of it goes on, and may have to be sent once more. */
import type { IncomingMessage } from "node:http";
import { HeldBytes } from "../../base/held-bytes.js";
import { Refusal } from "../refusal.js";
import type { ByteBudget } from "../limits/byte-budget.js";

export interface HeldBody {
  readonly bytes: Buffer;
  /** Once, as soon as it is not needed any more. */
  release(): void;
}

export interface BodyLimits {
  readonly maxBytes: number;
  readonly idleMs: number;
  readonly totalMs: number;
}

/** Until another's is sent. */
const memoryRetrySeconds = 2;

/** `seen` is told each piece as it comes. Throws a `Refusal`; then nothing is held. */
export async function readBody(
  message: IncomingMessage,
  limits: BodyLimits,
  budget: ByteBudget,
  boxId: string,
  seen: (chunk: Buffer) => void,
): Promise<HeldBody> {
  const { headers } = message;
  if (headers["content-encoding"] !== undefined && headers["content-encoding"] !== "identity") {
    throw new Refusal("body", 415, "send the body as it is, without a content-encoding", { closes: true });
  }
  if (Number(headers["content-length"] ?? 0) > limits.maxBytes) throw tooLarge(limits);
  const held = new HeldBytes();
  let taken = 0;
  const release = (): void => {
    budget.giveBack(boxId, taken);
    taken = 0;
  };
  try {
    await eachChunk(message, limits, (chunk) => {
      if (taken + chunk.length > limits.maxBytes) throw tooLarge(limits);
      if (!budget.take(boxId, chunk.length)) {
        throw new Refusal("memory", 429, "too many large requests are under way", {
          retryAfterSeconds: memoryRetrySeconds,
          closes: true,
        });
      }
      taken += chunk.length;
      held.add(chunk);
      seen(chunk);
    });
    return { bytes: held.all(), release };
  } catch (thrown) {
    release();
    throw thrown;
  }
}

async function eachChunk(message: IncomingMessage, limits: BodyLimits, take: (chunk: Buffer) => void): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const slow = (): void => {
      settle(new Refusal("slow", 408, "the body does not come", { closes: true }));
    };
    const idle = setTimeout(slow, limits.idleMs);
    const total = setTimeout(slow, limits.totalMs);
    const onData = (chunk: Buffer): void => {
      idle.refresh();
      try {
        take(chunk);
      } catch (thrown) {
        settle(thrown instanceof Error ? thrown : new Error("unreadable"));
      }
    };
    const onEnd = (): void => {
      settle(undefined);
    };
    const onGone = (): void => {
      settle(new ClientGone());
    };
    const settle = (why: Error | undefined): void => {
      clearTimeout(idle);
      clearTimeout(total);
      message.off("data", onData).off("end", onEnd).off("close", onGone).off("error", onGone);
      if (why === undefined) resolve();
      else {
        message.on("error", () => undefined); // nobody asks any more what becomes of it
        reject(why);
      }
    };
    message.on("data", onData).on("end", onEnd).on("close", onGone).on("error", onGone);
  });
}

/** There is nobody to be told. */
export class ClientGone extends Error {
  constructor() {
    super("the client has gone");
  }
}

function tooLarge({ maxBytes }: BodyLimits): Refusal {
  return new Refusal("size", 413, `a request has at most ${String(maxBytes)} bytes here`, { closes: true });
}
