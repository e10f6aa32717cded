import { Metadata, type CallOptions, type ClientUnaryCall, type ServiceError } from "@grpc/grpc-js";
import { RuntimeError } from "../../base/errors.js";
import { faults } from "../../base/faults.js";
import { orAborted } from "../../base/or-aborted.js";
import { anyOf } from "../../base/signals.js";
import { sleep, stage } from "../../base/stage.js";
import type { CallScope } from "./call-scope.js";
import { failureOf } from "./status.js";

type Reply<Res> = (error: ServiceError | null, response?: Res) => void;

/** A method of the agent, with the request filled in. */
export type StartCall<Res> = (metadata: Metadata, options: Partial<CallOptions>, reply: Reply<Res>) => ClientUnaryCall;

export interface CallLimits {
  /** Name for messages: "create session". */
  readonly name: string;
  /** Null: the call waits for a process, or as long as its signal lets it. */
  readonly limitMs: number | null;
  /** Wait for the agent to be reachable, in place of failing when it is not. */
  readonly waitForReady: boolean;
}

/** Of a call that waits for a process, and only for a fault in it. */
const waitLimitMs = 2 ** 31 - 1;
/** A connection is seen to drop before its Box is seen to end: what a failed call waits to learn which of them it was. */
const deathNoticeMs = 2000;

/**
 * One call with a deadline. What it throws names the call; the caller's reason when its signal ended it, the Box's when
 * the connection dropped because the Box has ended.
 */
export async function unary<Res>(
  scope: CallScope,
  limits: CallLimits,
  signal: AbortSignal,
  start: StartCall<Res>,
): Promise<Res> {
  try {
    if (faults !== undefined) await faultOf(limits, signal);
    return await once(scope, limits, signal, start);
  } catch (thrown) {
    // A call that waits for the agent is made again by its caller, and learns there why that is in vain.
    if (!limits.waitForReady && isUnavailable(thrown) && !scope.rest.isResting) await deathNotice(scope, signal);
    throw thrown;
  }
}

async function faultOf({ name, limitMs }: CallLimits, signal: AbortSignal): Promise<void> {
  const run = (): Promise<void> => Promise.resolve();
  await stage(`agent ${name}`, limitMs ?? waitLimitMs, signal, run);
}

/** Throws why the Box has ended; nothing when it lives on. */
async function deathNotice(scope: CallScope, signal: AbortSignal): Promise<void> {
  try {
    await orAborted(sleep(deathNoticeMs, signal), scope.closed);
  } catch (thrown) {
    if (scope.closed.aborted) throw thrown;
  }
}

async function once<Res>(
  scope: CallScope,
  limits: CallLimits,
  signal: AbortSignal,
  start: StartCall<Res>,
): Promise<Res> {
  if (limits.limitMs === null && scope.rest.isResting) await scope.rest.awake(anyOf(signal, scope.closed));
  scope.throwIfShut();
  signal.throwIfAborted();
  const metadata = new Metadata({ waitForReady: limits.waitForReady });
  const options = limits.limitMs === null ? {} : { deadline: Date.now() + limits.limitMs };
  return await new Promise<Res>((resolve, reject) => {
    const finish: Reply<Res> = (error, response) => {
      scope.delete(call);
      signal.removeEventListener("abort", cancel);
      if (response !== undefined) resolve(response);
      else if (error === null) reject(new RuntimeError("internal", "no answer", { stage: `agent ${limits.name}` }));
      else reject(failureOf(scope, limits.name, error, limits.limitMs, signal));
    };
    const call = start(metadata, options, finish);
    const cancel = (): void => {
      call.cancel();
    };
    scope.add(call);
    signal.addEventListener("abort", cancel, { once: true });
  });
}

/** True for what a repeated call may cure: the connection went, not the call. */
export function isUnavailable(thrown: unknown): boolean {
  return thrown instanceof RuntimeError && thrown.code === "unavailable";
}
