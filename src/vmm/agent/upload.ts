import type { ClientDuplexStream } from "@grpc/grpc-js";
import { RuntimeError } from "../../base/errors.js";
import { orAborted } from "../../base/or-aborted.js";
import type { FileEntry, WriteFileOpen, WriteFileRequest, WriteFileResponse } from "../../gen/agent/v1/agent.js";
import type { CallScope } from "./call-scope.js";
import { Gather } from "./gather.js";
import { messagesOf } from "./messages-of.js";
import { StagedParts, type Stage, type StagingFile } from "./staged-parts.js";
import { failureOf, isServiceError } from "./status.js";
import { broken } from "./wire-scan.js";

type UploadCall = ClientDuplexStream<WriteFileRequest, WriteFileResponse>;

/** WriteFileRequest.data of the contract. */
const maxDataBytes = 256 * 1024;
/** Messages on their way, 4 MiB at most: with four 100 MB take half as long again. */
const mostUnderWay = 16;
/** What is longer is staged from there on: a staging file costs some ten milliseconds. */
const leastStagedBytes = 1024 * 1024;
/** For one message to leave, or the agent to sync what it has. */
const stallMs = 60_000;
/** An upload holds a process of the guest: a body must come to be one. */
const bodyStallMs = 120_000;
const stage = "agent write file";

/** One file on its way to the agent, which keeps nothing of it unless the last message has come. */
export class Upload {
  readonly #scope: CallScope;
  readonly #signal: AbortSignal;
  readonly #call: UploadCall;
  readonly #stage: Stage;
  readonly #entry: Promise<FileEntry>;
  /** Aborts when the agent has answered, or the call has failed, which leaves writes without an answer. */
  readonly #over = new AbortController();
  readonly #underWay: Promise<void>[] = [];
  #channelBytes = 0;
  /** What is long goes there. Undefined before it was asked for; null: there is no such place. */
  #staging: StagingFile | null | undefined;
  #parts: StagedParts | undefined;
  #stalled: RuntimeError | undefined;

  constructor(scope: CallScope, signal: AbortSignal, stage: Stage, open: () => UploadCall) {
    scope.throwIfShut();
    signal.throwIfAborted();
    this.#scope = scope;
    this.#signal = signal;
    this.#stage = stage;
    this.#call = open();
    const cancel = this.#cancel;
    scope.add(this.#call);
    signal.addEventListener("abort", cancel, { once: true });
    this.#entry = this.#answers().finally(() => {
      scope.delete(this.#call);
      signal.removeEventListener("abort", cancel);
      this.#over.abort();
    });
    this.#entry.catch(() => undefined); // whoever runs it sees it
  }

  async run(open: WriteFileOpen, body: AsyncIterable<Uint8Array>): Promise<FileEntry> {
    const chunks = body[Symbol.asyncIterator]();
    const gather = new Gather(maxDataBytes);
    try {
      await this.#send({ open });
      for (;;) {
        const next = await this.#within(bodyStallMs, "the body", orAborted(chunks.next(), this.#over.signal));
        if (next.done === true) break;
        for (const data of gather.add(next.value)) await this.#pass(data);
      }
      await this.#pass(gather.rest());
      await this.#sendPart(this.#parts?.rest());
      await this.#send({ end: true });
      this.#call.end();
      return await this.#within(stallMs, "the agent", this.#entry);
    } catch (thrown) {
      this.#cancel();
      // The agent's answer, or why there is none, comes before what followed from it.
      if (this.#over.signal.aborted) await this.#entry;
      throw this.#stalled ?? this.#scope.endedBecause(this.#signal) ?? thrown;
    } finally {
      void Promise.resolve(chunks.return?.()).catch(() => undefined);
      await this.#staging?.[Symbol.asyncDispose]();
    }
  }

  async #answers(): Promise<FileEntry> {
    try {
      for await (const { entry, taken } of messagesOf<WriteFileRequest, WriteFileResponse>(this.#call)) {
        if (entry !== undefined) return entry;
        if (this.#parts?.take(taken) === true) continue;
        const reason = broken("parts of a file that were not staged are taken");
        this.#scope.break(reason);
        throw reason;
      }
    } catch (thrown) {
      if (!isServiceError(thrown)) throw thrown;
      throw this.#stalled ?? failureOf(this.#scope, "write file", thrown, null, this.#signal);
    }
    throw new RuntimeError("internal", "no answer", { stage });
  }

  /** Through the channel at first, through the share what is long. */
  async #pass(data: Uint8Array): Promise<void> {
    if (data.length === 0) return;
    const parts = this.#channelBytes < leastStagedBytes ? undefined : await this.#placeOfParts();
    if (parts === undefined) {
      this.#channelBytes += data.length;
      await this.#send({ data });
      return;
    }
    await this.#within(stallMs, "the agent", orAborted(parts.place(), this.#over.signal));
    await this.#sendPart(await parts.add(data));
  }

  async #placeOfParts(): Promise<StagedParts | undefined> {
    if (this.#staging === undefined) {
      this.#staging = (await this.#stage(this.#signal)) ?? null;
      if (this.#staging === null) return undefined;
      this.#parts = new StagedParts(this.#staging);
      await this.#send({ staging: this.#staging.guestPath });
    }
    return this.#parts;
  }

  async #sendPart(staged: WriteFileRequest["staged"]): Promise<void> {
    if (staged !== undefined) await this.#send({ staged });
  }

  async #send(message: Partial<WriteFileRequest>): Promise<void> {
    this.#over.signal.throwIfAborted();
    const sent = new Promise<void>((resolve, reject) => {
      this.#call.write({ ...emptyRequest, ...message }, (error: Error | null | undefined) => {
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
        stage,
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

const emptyRequest: WriteFileRequest = {
  open: undefined,
  data: new Uint8Array(),
  end: false,
  staging: "",
  staged: undefined,
};
