import type { ClientDuplexStream } from "@grpc/grpc-js";

/** A call's messages. Leaving the loop does not destroy the stream, which may have more to send. */
export async function* messagesOf<Req, Res>(call: ClientDuplexStream<Req, Res>): AsyncGenerator<Res, void> {
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
      const chunk = next();
      if (chunk !== null) yield chunk;
      else if (state.failure !== undefined) throw state.failure;
      else if (state.over) return;
      else {
        await new Promise<void>((resolve) => {
          state.wake = resolve;
        });
      }
    }
  } finally {
    call.off("readable", onReadable);
  }
}
