/** A signal that Ctrl-C and a plain kill of this process abort; the second Ctrl-C ends it at once. */
export function interrupted(): AbortSignal {
  const stop = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.on(name, () => {
      if (stop.signal.aborted) process.exit(130);
      process.exitCode = 130;
      stop.abort();
    });
  }
  return stop.signal;
}
