import { once } from "node:events";
import {
  Metadata,
  status,
  type handleServerStreamingCall,
  type handleUnaryCall,
  type ServerUnaryCall,
  type ServerWritableStream,
} from "@grpc/grpc-js";
import { codeOf, messageOf, RuntimeError } from "../../base/errors.js";
import { beginStep, giveUp, inStep, settlesInTime } from "../../base/hold.js";
import type { Logger } from "../../base/log.js";
import { monotonicMs } from "../../base/clock.js";
import type { CallContext, Deps } from "../deps.js";
import { limitMsOf } from "./limits.js";
import { statusName, toStatus } from "../../grpc/status.js";

type UnaryRpc<Request, Response> = (request: Request, call: CallContext, deps: Deps) => Promise<Response>;
/** Items are written as fast as the client reads; the iterable is closed when the client goes. */
type StreamRpc<Request, Response> = (request: Request, call: CallContext, deps: Deps) => AsyncIterable<Response>;

/** Makes gRPC handlers of RPC functions. No gRPC type passes it inward. */
export interface Edge {
  unary<Request, Response>(rpc: string, run: UnaryRpc<Request, Response>): handleUnaryCall<Request, Response>;
  stream<Request, Response>(
    rpc: string,
    run: StreamRpc<Request, Response>,
  ): handleServerStreamingCall<Request, Response>;
}

type Call<Request, Response> = ServerUnaryCall<Request, Response> | ServerWritableStream<Request, Response>;

export function createEdge(deps: Deps, limitOf = limitMsOf): Edge {
  return {
    unary: (rpc, run) => (call, reply) => {
      const { context, done } = begin(rpc, call, deps, limitOf);
      answerOf(context, () => run(call.request, context, deps)).then(
        (response) => {
          done(undefined);
          reply(null, response);
        },
        (thrown: unknown) => {
          const failure = asFailure(thrown, context.signal);
          done(failure);
          reply(toStatus(failure));
        },
      );
    },
    stream: (rpc, run) => (call) => {
      const { context, done } = begin(rpc, call, deps, limitOf);
      answerOf(context, async () => {
        const items = run(call.request, context, deps);
        call.sendMetadata(new Metadata()); // a client that waits for it knows that its subscription stands
        for await (const item of items) {
          context.signal.throwIfAborted();
          if (!call.write(item)) await once(call, "drain", { signal: context.signal });
        }
      }).then(
        () => {
          done(undefined);
          call.end();
        },
        (thrown: unknown) => {
          const failure = asFailure(thrown, context.signal);
          done(failure);
          call.emit("error", toStatus(failure));
        },
      );
    },
  };
}

function begin<Request, Response>(
  rpc: string,
  call: Call<Request, Response>,
  deps: Deps,
  limitOf: typeof limitMsOf,
): { context: CallContext; done: (failure: unknown) => void } {
  const gone = new AbortController();
  const startedMs = monotonicMs();
  const log = deps.log.child({ rpc });
  const limitMs = limitOf(rpc, call.request);
  const counted = deps.metrics.calls.began(rpc);
  const cancel = (): void => {
    gone.abort(new RuntimeError("canceled", "the caller gave up", { stage: rpc }));
  };
  call.on("cancelled", cancel);
  const timer =
    limitMs === null
      ? undefined
      : setTimeout(() => {
          gone.abort(new RuntimeError("deadlineExceeded", `no result in ${String(limitMs)} ms`, { stage: rpc }));
        }, limitMs);
  const done = (failure: unknown): void => {
    clearTimeout(timer);
    call.off("cancelled", cancel);
    counted(failure === undefined ? statusName(status.OK) : statusName(toStatus(failure).code));
    logEnd(log, monotonicMs() - startedMs, failure);
  };
  return { context: { signal: gone.signal, rpc, log }, done };
}

/** Longer than what is below may take to say what it was that did not end; with it a call ends within a second. */
const graceMs = 900;

/**
 * What the handler answers, and the signal's reason when it does not by then: a call ends at its deadline, whatever hangs
 * below it. A handler that goes on is named in the log, and holds what it has locked.
 */
async function answerOf<T>({ rpc, signal }: CallContext, run: () => Promise<T>): Promise<T> {
  const step = beginStep(rpc);
  const work = inStep(step, async () => await run());
  if (await settlesInTime(work, signal, graceMs)) return await work;
  giveUp(step, work);
  throw signal.reason;
}

/** An abort surfaces as whatever the aborted step made of it; the caller is told why it was aborted, and where. */
function asFailure(thrown: unknown, signal: AbortSignal): unknown {
  if (!signal.aborted) return thrown;
  const reason: unknown = signal.reason;
  if (!(reason instanceof RuntimeError) || thrown === reason) return thrown;
  if (!(thrown instanceof RuntimeError)) return reason;
  return new RuntimeError(reason.code, `${reason.message}; ${thrown.message}`, { cause: thrown });
}

function logEnd(log: Logger, ms: number, failure: unknown): void {
  const fields = { ms: Math.round(ms) };
  if (failure === undefined) {
    log.trace(fields, "call answered");
    return;
  }
  const code = codeOf(failure);
  const failed = { ...fields, code, err: messageOf(failure) };
  if (code === "internal") log.error({ ...failed, stack: rootOf(failure).stack }, "call failed");
  else if (code === "notFound" || code === "unimplemented" || code === "canceled") log.debug(failed, "call failed");
  else log.warn(failed, "call failed");
}

/** What it all began with: the stack of a wrapped failure tells only where it was wrapped. */
function rootOf(failure: unknown): Error {
  let root = failure;
  while (root instanceof Error && root.cause instanceof Error) root = root.cause;
  return root instanceof Error ? root : new Error(messageOf(root));
}
