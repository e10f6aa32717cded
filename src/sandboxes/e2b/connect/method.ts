/** One call of Connect, of its three kinds, in JSON without compression. */
import type { ServerResponse } from "node:http";
import type * as z from "zod";
import { RuntimeError } from "../../../base/errors.js";
import { stage } from "../../../base/stage.js";
import { anyOf } from "../../../base/signals.js";
import type { Logger } from "../../../base/log.js";
import type { Files } from "../../core/file.js";
import type { Processes } from "../../core/process.js";
import type { SandboxView } from "../../core/sandbox.js";
import type { HttpRequest } from "../../listen/protocol.js";
import { sendJson, sendRefusal, writeTo } from "../answer.js";
import { connectError, connectStatus, type ConnectError } from "../errors.js";
import { bodyBytes, bytesOf, parsed } from "../../http/read-body.js";
import { endFrame, messageFrame, messagesIn } from "./frames.js";
import { keptAlive } from "./keepalive.js";

/** Of one message, in JSON: input of programs comes in base64, so that six of eight bytes are theirs. */
export const mostMessageBytes = 8 * 1024 * 1024;
const unaryLimitMs = 60_000;

export interface Call {
  readonly request: HttpRequest;
  readonly response: ServerResponse;
  readonly name: string;
  readonly view: SandboxView;
  readonly processes: Processes;
  readonly files: Files;
  /** Of the request; "": the sandbox's. */
  readonly user: string;
  /** What the client gives the call; undefined: all the time. */
  readonly limitMs: number | undefined;
  readonly keepaliveMs: number;
  readonly signal: AbortSignal;
  readonly log: Logger;
}

export interface Method {
  /** Of the requests' `Content-Type`. */
  readonly contentType: "application/json" | "application/connect+json";
  serve(call: Call): Promise<void>;
}

export function unary<T>(schema: z.ZodType<T>, run: (call: Call, message: T) => Promise<unknown>): Method {
  return {
    contentType: "application/json",
    async serve(call) {
      const { request, response, signal } = call;
      try {
        const limitMs = Math.min(call.limitMs ?? unaryLimitMs, unaryLimitMs);
        const answer = await stage(call.name, limitMs, signal, async (within) => {
          const message = parsed(await bodyBytes(request.message, mostMessageBytes), schema);
          return await run({ ...call, signal: within }, message);
        });
        sendJson(response, 200, answer);
      } catch (thrown) {
        if (!signal.aborted) sendConnectError(call, connectError(thrown, call.log));
      }
    },
  };
}

export function serverStream<T>(
  schema: z.ZodType<T>,
  run: (call: Call, message: T) => AsyncIterable<unknown>,
  keepalive: unknown,
): Method {
  return stream(async (call) => {
    const message = await onlyMessage(call, schema);
    // Not before the request is read: a client over HTTP/1.1 may take the answer's head for the end of what it has to send.
    begin(call);
    const events = keptAlive(run(call, message), call.keepaliveMs, keepalive);
    for await (const event of events) await writeTo(call.response, messageFrame(event), call.signal);
  });
}

export function clientStream<T>(
  schema: z.ZodType<T>,
  run: (call: Call, messages: AsyncIterable<T>) => Promise<unknown>,
): Method {
  return stream(async (call) => {
    const messages = messagesIn(bytesOf(call.request.message), mostMessageBytes);
    const answer = await run(call, each(messages, schema));
    begin(call);
    await writeTo(call.response, messageFrame(answer), call.signal);
  });
}

/** A stream that ends at the time that the client gives it, as Connect has it; what it is about goes on. */
export async function* limited<T>(call: Call, run: (signal: AbortSignal) => AsyncIterable<T>): AsyncGenerator<T> {
  if (call.limitMs === undefined) {
    yield* run(call.signal);
    return;
  }
  const limit = AbortSignal.timeout(call.limitMs);
  const late = (cause?: unknown): RuntimeError =>
    new RuntimeError("deadlineExceeded", `the call has taken the ${call.limitMs ?? 0} ms that it had`, { cause });
  try {
    yield* run(anyOf(call.signal, limit));
  } catch (thrown) {
    throw limit.aborted && !call.signal.aborted ? late(thrown) : thrown;
  }
  if (limit.aborted) throw late();
}

function stream(run: (call: Call) => Promise<void>): Method {
  return {
    contentType: "application/connect+json",
    async serve(call) {
      const { response, signal } = call;
      try {
        await run(call);
        response.end(endFrame());
      } catch (thrown) {
        if (signal.aborted) {
          response.destroy();
          return;
        }
        begin(call);
        response.end(endFrame(connectError(thrown, call.log)));
      }
    },
  };
}

/** The head at once: the client's limit for the answer's beginning has nothing to do with when a program writes. */
function begin({ response }: Call): void {
  if (response.headersSent) return;
  response.writeHead(200, { "content-type": "application/connect+json" });
  response.flushHeaders();
}

async function onlyMessage<T>(call: Call, schema: z.ZodType<T>): Promise<T> {
  let only: T | undefined;
  for await (const message of messagesIn(bytesOf(call.request.message), mostMessageBytes)) {
    if (only !== undefined) throw new RuntimeError("invalidArgument", "more than one message in the request");
    only = parsed(message, schema);
  }
  if (only === undefined) throw new RuntimeError("invalidArgument", "no message in the request");
  return only;
}

async function* each<T>(messages: AsyncIterable<Buffer>, schema: z.ZodType<T>): AsyncGenerator<T> {
  for await (const message of messages) yield parsed(message, schema);
}

export function sendConnectError({ request, response }: Pick<Call, "request" | "response">, error: ConnectError): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  sendRefusal(request.message, response, connectStatus[error.code], error);
}
