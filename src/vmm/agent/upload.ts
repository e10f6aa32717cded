import type { ClientWritableStream, ServiceError } from "@grpc/grpc-js";
import { RuntimeError } from "../../base/errors.js";
import { orAborted } from "../../base/or-aborted.js";
import type { WriteFileOpen, WriteFileRequest, WriteFileResponse } from "../../gen/agent/v1/agent.js";
import type { CallScope } from "./call-scope.js";
import { Gather } from "./gather.js";
import { failureOf } from "./status.js";

type UploadCall = ClientWritableStream<WriteFileRequest>;
type Reply = (error: ServiceError | null, response?: WriteFileResponse) => void;

/** WriteFileRequest.data of the contract. */
const maxDataBytes = 256 * 1024;
/** Messages on their way, 4 MiB at most: with four 100 MB take half as long again. */
const mostUnderWay = 16;
/** For one message to leave, or the agent to sync what it has. */
const stallMs = 60_000;
/** An upload holds a process of the guest: a body must come to be one. */
const bodyStallMs = 120_000;
const nothing = new Uint8Array();

/** One file on its way to the agent, which keeps nothing of it unless the last message has come. */
export class Upload {
  readonly #scope: CallScope;
  readonly #signal: AbortSignal;
  readonly #call: UploadCall;
  readonly #reply: Promise<WriteFileResponse>;
  /** Aborts when the agent has answered, or the call has failed, which leaves writes without an answer. */
  readonly #over = new AbortController();
  readonly #underWay: Promise<void>[] = [];
  #stalled: RuntimeError | undefined;

  constructor(scope: CallScope, signal: AbortSignal, open: (reply: Reply) => UploadCall) {
    scope.throwIfShut();
    signal.throwIfAborted();
    this.#scope = scope;
    this.#signal = signal;
    const { promise, reply } = answerTo(scope, signal, () => this.#stalled);
    this.#reply = promise;
    this.#call = open(reply);
    this.#call.on("error", () => undefined);
    const cancel = this.#cancel;
    scope.add(this.#call);
    signal.addEventListener("abort", cancel, { once: true });
    const settle = (): void => {
      scope.delete(this.#call);
      signal.removeEventListener("abort", cancel);
      this.#over.abort();
    };
    promise.then(settle, settle);
  }

  async run(open: WriteFileOpen, body: AsyncIterable<Uint8Array>): Promise<WriteFileResponse> {
    const chunks = body[Symbol.asyncIterator]();
    const gather = new Gather(maxDataBytes);
    try {
      await this.#send({ open, data: nothing, end: false });
      for (;;) {
        const next = await this.#within(bodyStallMs, "the body", orAborted(chunks.next(), this.#over.signal));
        if (next.done === true) break;
        for (const data of gather.add(next.value)) await this.#send({ open: undefined, data, end: false });
      }
      const rest = gather.rest();
      if (rest.length > 0) await this.#send({ open: undefined, data: rest, end: false });
      await this.#send({ open: undefined, data: nothing, end: true });
      this.#call.end();
      return await this.#within(stallMs, "the agent", this.#reply);
    } catch (thrown) {
      this.#cancel();
      // The agent's answer, or why there is none, comes before what followed from it.
      if (this.#over.signal.aborted) await this.#reply;
      throw this.#stalled ?? this.#scope.endedBecause(this.#signal) ?? thrown;
    } finally {
      void Promise.resolve(chunks.return?.()).catch(() => undefined);
    }
  }

  async #send(message: WriteFileRequest): Promise<void> {
    this.#over.signal.throwIfAborted();
    const sent = new Promise<void>((resolve, reject) => {
      this.#call.write(message, (error: Error | null | undefined) => {
        if (error instanceof Error) reject(error);
        else resolve();
      });
    });
    sent.catch(() => undefined); // it is looked at when it is the oldest
    this.#underWay.push(sent);
    const oldest = this.#underWay.length < mostUnderWay ? undefined : this.#underWay.shift();
    if (oldest !== undefined) await this.#within(stallMs, "the agent", orAborted(oldest, this.#over.signal));
  }

  async #within<T>(limitMs: number, whose: string, work: Promise<T>): Promise<T> {
    const timer = setTimeout(() => {
      this.#stalled = new RuntimeError("deadlineExceeded", `nothing came of ${whose} in ${String(limitMs)} ms`, {
        stage: "agent write file",
      });
      this.#cancel();
    }, limitMs);
    try {
      return await work;
    } finally {
      clearTimeout(timer);
    }
  }

  readonly #cancel = (): void => {
    this.#call.cancel();
  };
}

interface Answer {
  readonly promise: Promise<WriteFileResponse>;
  readonly reply: Reply;
}

function answerTo(scope: CallScope, signal: AbortSignal, stalled: () => RuntimeError | undefined): Answer {
  let reply: Reply = () => undefined;
  const promise = new Promise<WriteFileResponse>((resolve, reject) => {
    reply = (error, response) => {
      if (response !== undefined) resolve(response);
      else if (error === null) reject(new RuntimeError("internal", "no answer", { stage: "agent write file" }));
      else reject(stalled() ?? failureOf(scope, "write file", error, null, signal));
    };
  });
  promise.catch(() => undefined); // whoever runs it sees it
  return { promise, reply };
}
