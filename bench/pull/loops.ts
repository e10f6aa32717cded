/** Programs that want a processor all the time. */
import { spawn, type ChildProcess } from "node:child_process";

/** They end by themselves after this, whatever has become of the bench. */
const longestS = 120;

/**
 * All of them together are one session, to which the kernel gives as much as to a daemon (`sched_autogroup`): as on a node,
 * where all pods together are one group beside that of the system's services.
 */
export class Loops {
  readonly #child: ChildProcess | undefined;

  constructor(count: number) {
    if (count === 0) return;
    const script = `for each in $(seq ${count}); do (while :; do :; done) & done; wait`;
    this.#child = spawn("timeout", [String(longestS), "sh", "-c", script], { stdio: "ignore", detached: true });
  }

  async end(): Promise<void> {
    const child = this.#child;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    process.kill(-child.pid, "SIGKILL"); // its group: all loops
    await gone;
  }
}

/** Runs the work beside so many loops. */
export async function beside<T>(count: number, work: () => Promise<T>): Promise<T> {
  const loops = new Loops(count);
  try {
    return await work();
  } finally {
    await loops.end();
  }
}
