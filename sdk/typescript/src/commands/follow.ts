/** What a process writes, over connections that break: from the byte after the last one, to its exit. */
import { status } from "@grpc/grpc-js";
import { unsure, type Call, type Connection } from "../connection.js";
import {
  OutputStream,
  ProcessServiceService as service,
  ConnectProcessRequest,
  type Process,
  type ProcessEvent,
  type ProcessExit,
  type ProcessSelector,
  type StartProcessRequest,
} from "../gen/sandboxes/v1/processes.js";
import { WireError } from "../wire/wire.js";

/** Where reading begins. start: with all that is kept; unseen: where the last reader had come to; now: with what comes next. */
export type OutputFrom = "start" | "unseen" | "now" | { readonly offset: number };

export type Followed =
  | { readonly kind: "process"; readonly process: Process }
  | {
      readonly kind: "output";
      readonly stream: "stdout" | "stderr";
      readonly data: Uint8Array;
      readonly offset: number;
    }
  /** The runtime had no room for these, and nobody had read them. */
  | { readonly kind: "lost"; readonly bytes: number }
  | { readonly kind: "exit"; readonly exit: ProcessExit };

export type Begin =
  /** Its id is no other start's. */
  | { readonly kind: "run"; readonly start: StartProcessRequest }
  | { readonly kind: "connect"; readonly process: ProcessSelector; readonly from: OutputFrom };

export interface Following {
  readonly connection: Connection;
  readonly sandboxId: string;
  readonly call: Call;
  readonly signal: AbortSignal;
}

/** Ends after the exit. A start whose answer is lost is asked for again by its id: a program is started once. */
export async function* follow(following: Following, begin: Begin): AsyncGenerator<Followed, void> {
  const { connection, call, signal } = following;
  const attempts = connection.attempts(call, signal);
  let place = begin;
  let isTold = false;
  for (;;) {
    try {
      for await (const { event } of eventsAt(following, place)) {
        const followed = event === undefined ? undefined : followedOf(event);
        if (followed === undefined) continue;
        attempts.succeeded();
        place = after(place, followed);
        if (followed.kind === "process" && isTold) continue;
        isTold ||= followed.kind === "process";
        yield followed;
        if (followed.kind === "exit") return;
      }
      throw new WireError(status.UNAVAILABLE, "the output ended before the exit", false);
    } catch (thrown) {
      if (!connection.resumes) throw await connection.explain(unsure(thrown), call);
      await attempts.again(thrown);
    }
  }
}

function eventsAt(
  { connection, sandboxId, signal }: Following,
  place: Begin,
): AsyncIterable<{ readonly event?: ProcessEvent | undefined }> {
  if (place.kind === "run") return connection.stream(service.runProcess, { start: place.start }, signal);
  const request = ConnectProcessRequest.fromPartial({ sandboxId, process: place.process, ...fromOf(place.from) });
  return connection.stream(service.connectProcess, request, signal);
}

function fromOf(from: OutputFrom): Partial<ConnectProcessRequest> {
  switch (from) {
    case "start":
      return { start: {} };
    case "unseen":
      return { unseen: {} };
    case "now":
      return { now: {} };
    default:
      return { offset: BigInt(from.offset) };
  }
}

function followedOf({ process, output, lost, exit }: ProcessEvent): Followed | undefined {
  if (process !== undefined) return { kind: "process", process };
  if (output !== undefined) {
    const stream = output.stream === OutputStream.STDERR ? "stderr" : "stdout";
    return { kind: "output", stream, data: output.data, offset: Number(output.offset) };
  }
  if (lost !== undefined) return { kind: "lost", bytes: Number(lost.bytes) };
  return exit === undefined ? undefined : { kind: "exit", exit };
}

/** Where the next connection begins, were this the last that came. */
function after(place: Begin, followed: Followed): Begin {
  switch (followed.kind) {
    case "process": {
      const from = place.kind === "run" ? "start" : place.from;
      // What has been written since is what nobody has seen.
      return { kind: "connect", process: { id: followed.process.id }, from: from === "now" ? "unseen" : from };
    }
    case "output":
      return place.kind === "run" ? place : { ...place, from: { offset: followed.offset + followed.data.length } };
    case "lost":
      if (place.kind === "run" || place.from === "unseen" || place.from === "now") return place;
      return { ...place, from: { offset: (place.from === "start" ? 0 : place.from.offset) + followed.bytes } };
    case "exit":
      return place;
  }
}
