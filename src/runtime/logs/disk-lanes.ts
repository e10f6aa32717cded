import { Limiter } from "../../base/limiter.js";

/** libuv's own number (docs.libuv.org, "Thread pool work scheduling"). */
const usualThreads = 4;

/**
 * Lets few of libuv's threads be at logs at a time: one for each disk (by its device, as stat(2) has it), and half of them
 * for all disks. A call to a disk that hangs keeps its thread for as long as that takes; the other threads are for the rest
 * of the daemon. Work in a lane is one call, or few, and waits for nothing but the disk.
 */
export function diskLanesOf(threads: number): Limiter<number> {
  return new Limiter({ perKey: 1, inAll: Math.max(1, Math.floor(threads / 2)) });
}

/** The pool's size is the process's, and so is this. */
export const diskLanes = diskLanesOf(threadsOf(process.env["UV_THREADPOOL_SIZE"]));

/** As libuv reads it: 1 to 1024. */
function threadsOf(text: string | undefined): number {
  const number = Number.parseInt(text ?? "", 10);
  return Number.isNaN(number) ? usualThreads : Math.min(1024, Math.max(1, number));
}
