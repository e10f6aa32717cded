/** What an iterable gives, and `filler` after each time in which it has given nothing: else somebody on the way hangs up. */
export async function* keptAlive<T, F>(from: AsyncIterable<T>, silenceMs: number, filler: F): AsyncGenerator<T | F> {
  const iterator = from[Symbol.asyncIterator]();
  let next = iterator.next();
  try {
    for (;;) {
      const result = await within(next, silenceMs);
      if (result === undefined) {
        yield filler;
        continue;
      }
      if (result.done === true) return;
      yield result.value;
      next = iterator.next();
    }
  } finally {
    next.catch(() => undefined); // whoever reads no more does not hear what became of it
    void iterator.return?.().catch(() => undefined);
  }
}

async function within<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => {
      resolve(undefined);
    }, ms);
  });
  try {
    return await Promise.race([promise, silence]);
  } finally {
    clearTimeout(timer);
  }
}
