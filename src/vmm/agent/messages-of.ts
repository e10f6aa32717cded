import type { ClientDuplexStream, ClientReadableStream } from "@grpc/grpc-js";
import { nextTurn } from "./turns.js";

/** A call's messages. Leaving the loop does not destroy the stream, which may have more to send. */
export async function* messagesOf<Req, Res>(
  call: ClientDuplexStream<Req, Res> | ClientReadableStream<Res>,
): AsyncGenerator<Res, void> {
  const state: { failure?: Error; over: boolean; wake: () => void } = { over: false, wake: () => undefined };
  const onReadable = (): void => {
    state.wake();
  };
  call.on("readable", onReadable);
  call.on("end", () => {
    state.over = true;
    state.wake();
  });
  // Stays for as long as the stream lives: an error without a listener ends the process.
  call.on("error", (error: Error) => {
    state.failure = error;
    state.wake();
  });
  const next = (): Res | null => call.read();
  try {
    for (;;) {
      // Of what has arrived together, messages come without a turn of the loop.
      const turn = nextTurn();
      if (turn !== undefined) await turn;
      const chunk = next();
      if (chunk !== null) yield chunk;
      else if (state.failure !== undefined) throw state.failure;
      else if (state.over) return;
      else {
        // Not a turn by itself: what has arrived already comes as soon as it is asked for, one message at a time.
        await new Promise<void>((resolve) => {
          state.wake = resolve;
        });
      }
    }
  } finally {
    call.off("readable", onReadable);
  }
}

/** For a call of which nothing more is expected but its status: what comes anyway ends it. */
export function refuseMore<Req, Res>(call: ClientDuplexStream<Req, Res>): void {
  call.on("data", () => {
    call.cancel();
  });
}
