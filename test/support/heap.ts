import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** How much memory is in use after the work that was not before, rubbish left out. What the work gives is alive meanwhile. */
export async function memoryOf<T>(work: () => T | Promise<T>): Promise<{ readonly bytes: number; readonly result: T }> {
  setFlagsFromString("--expose-gc");
  const used = (): number => {
    runInNewContext("gc()");
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const before = used();
  const result = await work();
  return { bytes: used() - before, result };
}

/** A megabyte as the worst client sends it: a Buffer for each byte, all of what was read at once. */
export function* bytesOneByOne(count: number): Generator<Buffer> {
  for (let done = 0; done < count;) {
    const read = Buffer.alloc(Math.min(65_536, count - done), "a");
    for (let at = 0; at < read.length; at += 1) yield read.subarray(at, at + 1);
    done += read.length;
  }
}
