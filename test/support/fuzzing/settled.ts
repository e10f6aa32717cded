import { limit } from "../wait.js";

const settleMs = limit(10_000);

/** What a promise gives, or that it has given nothing for so long: what waits for ever is found, not waited for. */
export async function settled<T>(what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`${what}: nothing within ${settleMs} ms`));
    }, settleMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
