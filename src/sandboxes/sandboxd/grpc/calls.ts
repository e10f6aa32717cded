import type { EventEmitter } from "node:events";
import {
  Metadata,
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  type ServerDuplexStream,
  type ServerReadableStream,
} from "@grpc/grpc-js";
import { codeOf, messageOf, RuntimeError } from "../../../base/errors.js";
import { stage } from "../../../base/stage.js";
import { toStatus } from "../../../grpc/status.js";
import type { Caller } from "../../core/caller.js";
import type { WhoCalls } from "../../listen/protocol.js";
import { chosenSandbox } from "../chosen.js";
import { drained } from "../drained.js";
import type { SandboxdParts } from "../parts.js";
import { type Bounded, senderIdleMs, sentInTime } from "../sent-in-time.js";

/** Who asks, about which sandbox, and until when. */
export interface Asked {
  readonly caller: Caller;
  /** Aborts when the client has gone, or its deadline has passed. */
  readonly signal: AbortSignal;
  /** The sandbox that is meant by a request which names this one. */
  readonly sandbox: (named: string) => string;
}

/** Calls that wait for no program and no boot. */
export const usualLimitMs = 60_000;

/** Makes gRPC handlers of functions. Streams are read and written no faster than the other side writes and reads. */
export interface Calls {
  readonly unary: <Q, A>(
    rpc: string,
    limitMs: number,
    run: (request: Q, asked: Asked) => Promise<A>,
  ) => handleUnaryCall<Q, A>;
  readonly streams: <Q, A>(
    rpc: string,
    run: (request: Q, asked: Asked) => AsyncIterable<A>,
    /** Longest wait for the client to take something; absent: its connection decides. */
    idleMs?: number,
  ) => handleServerStreamingCall<Q, A>;
  /** Each message has to come in time: the answer waits for all of them, and what they bring is held meanwhile. */
  readonly collects: <Q, A>(
    rpc: string,
    run: (requests: AsyncIterator<Q>, asked: Asked) => Promise<A>,
  ) => handleClientStreamingCall<Q, A>;
  /**
   * The first message has to come in time. Later ones need not: a connection on which nobody speaks is as it should be, for
   * hours where it is one to a database, and costs no more than its client's own. Who is gone is found by the life signs of
   * the port (`lifeSignMs`), and its calls end with its connection.
   */
  readonly converses: <Q, A>(
    rpc: string,
    run: (requests: AsyncIterator<Q>, asked: Asked) => AsyncIterable<A>,
  ) => handleBidiStreamingCall<Q, A>;
}

export function callsOf(parts: SandboxdParts, who: WhoCalls): Calls {
  const begun = (rpc: string, call: AnyCall): Asked => begin(parts, who, rpc, call);
  const failed = (rpc: string, asked: Asked | undefined, thrown: unknown): ReturnType<typeof toStatus> =>
    statusOf(parts, rpc, asked, thrown);
  const idleMs = parts.senderIdleMs ?? senderIdleMs;
  const requestsOf = <Q>(call: Requests<Q>, rpc: string, bounded: Bounded): AsyncIterator<Q> =>
    sentInTime(iterated(call), { idleMs, rpc, bounded });
  return {
    unary: (rpc, limitMs, run) => (call, reply) => {
      let asked: Asked | undefined;
      const work = async (): Promise<Awaited<ReturnType<typeof run>>> => {
        const { signal } = (asked = begun(rpc, call));
        const answering = asked;
        return await stage(rpc, limitMs, signal, (limit) => run(call.request, { ...answering, signal: limit }));
      };
      work().then(
        (answer) => {
          reply(null, answer);
        },
        (thrown: unknown) => {
          reply(failed(rpc, asked, thrown));
        },
      );
    },
    streams: (rpc, run, idleMs) => (call) => {
      let asked: Asked | undefined;
      void answer(
        { call, idleMs },
        () => run(call.request, (asked = begun(rpc, call))),
        (thrown) => failed(rpc, asked, thrown),
      );
    },
    collects: (rpc, run) => (call, reply) => {
      let asked: Asked | undefined;
      const work = async (): Promise<Awaited<ReturnType<typeof run>>> =>
        await run(requestsOf(call, rpc, "each"), (asked = begun(rpc, call)));
      work().then(
        (done) => {
          reply(null, done);
        },
        (thrown: unknown) => {
          reply(failed(rpc, asked, thrown));
        },
      );
    },
    converses: (rpc, run) => (call) => {
      let asked: Asked | undefined;
      void answer(
        { call, idleMs: undefined },
        () => run(requestsOf(call, rpc, "first"), (asked = begun(rpc, call))),
        (thrown) => failed(rpc, asked, thrown),
      );
    },
  };
}

interface AnyCall {
  readonly metadata: Metadata;
  getPeer(): string;
  on(event: "cancelled", listener: () => void): unknown;
}

function begin({ sandboxes }: SandboxdParts, who: WhoCalls, rpc: string, call: AnyCall): Asked {
  const gone = new AbortController();
  call.on("cancelled", () => {
    gone.abort(new RuntimeError("canceled", "the caller gave up", { stage: rpc }));
  });
  const caller = who.caller(call);
  return {
    caller,
    signal: gone.signal,
    sandbox: (named) => chosenSandbox(sandboxes, caller, named === "" ? who.sandbox(call) : named),
  };
}

type Requests<Q> = ServerReadableStream<Q, unknown> | ServerDuplexStream<Q, unknown>;

/** Requests as they are asked for. The stream stays open when the reader stops: an answer may be on its way. */
function iterated<Q>(call: Requests<Q>): AsyncIterator<Q> {
  return call.iterator({ destroyOnReturn: false });
}

/** What both kinds of calls that answer with a stream are. */
interface Answering<A> extends EventEmitter {
  write(item: A): boolean;
  end(): void;
  sendMetadata(metadata: Metadata): void;
}

/** Writes what comes, as fast as the client reads it. What is iterated is closed on every way out. */
async function answer<A>(
  { call, idleMs }: { readonly call: Answering<A>; readonly idleMs: number | undefined },
  run: () => AsyncIterable<A>,
  failed: (thrown: unknown) => ReturnType<typeof toStatus>,
): Promise<void> {
  const gone = new AbortController();
  call.once("cancelled", () => {
    gone.abort();
  });
  try {
    const items = run();
    call.sendMetadata(new Metadata()); // a client that waits for it knows that its call stands
    for await (const item of items) {
      if (gone.signal.aborted) break;
      if (!call.write(item)) await drained(call, idleMs, gone.signal);
    }
    call.end();
  } catch (thrown) {
    call.emit("error", failed(thrown));
  }
}

/** What nobody foresaw goes to the log alone: its words may be about the host. */
function statusOf(
  { log }: SandboxdParts,
  rpc: string,
  asked: Asked | undefined,
  thrown: unknown,
): ReturnType<typeof toStatus> {
  const fields = { rpc, tenant: asked?.caller.tenant, code: codeOf(thrown), err: messageOf(thrown) };
  if (thrown instanceof RuntimeError || asked?.signal.aborted === true) {
    log.debug(fields, "call failed");
    return toStatus(thrown);
  }
  log.error({ ...fields, stack: thrown instanceof Error ? thrown.stack : undefined }, "call failed");
  return toStatus(new RuntimeError("internal", "the daemon has failed; its log says why"));
}
