import { Socket } from "node:net";

/**
 * A signal that Ctrl-C and a plain kill of this process abort, and the end of the process that started it (bootstrap.mjs);
 * the second Ctrl-C ends it at once.
 */
export function interrupted(): AbortSignal {
  const stop = new AbortController();
  const abort = (): void => {
    process.exitCode = 130;
    stop.abort();
  };
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.on(name, () => {
      if (stop.signal.aborted) process.exit(130);
      abort();
    });
  }
  onStartersEnd(abort);
  return stop.signal;
}

function onStartersEnd(then: () => void): void {
  const descriptor = Number(process.env["BOOTSTRAP_PIPE"]);
  if (!Number.isInteger(descriptor)) return;
  delete process.env["BOOTSTRAP_PIPE"]; // programs that this one starts have no such pipe
  const pipe = new Socket({ fd: descriptor, readable: true, writable: false });
  pipe.once("error", then).once("end", then).resume().unref();
}
