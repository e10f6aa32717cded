/** How a container ends, and what its status says of it. */
import { container, type Case } from "../case.js";
import type { Wish } from "../container.js";

const line = (text: string, more: Wish = {}): Wish => ({ part: { command: ["sh", "-c", text] }, ...more });

export const resultCases: readonly Case[] = [
  container("status", {
    part: {
      command: ["sh", "-c", "echo @@ready; exec sleep 1000"],
      labels: { a: "b" },
      annotations: { c: "d" },
      envs: [{ key: "A", value: Buffer.from("b") }],
    },
    execs: {},
    wholeStatus: true,
    resources: {
      cpuShares: 512n,
      cpuPeriod: 100_000n,
      cpuQuota: 50_000n,
      memoryLimitInBytes: 64n << 20n,
      oomScoreAdj: 999n,
    },
  }),
  container("exit 0", line("exit 0", { wholeStatus: true })),
  container("exit 3", line("exit 3")),
  container("exit 255", line("exit 255")),
  container("killed by SIGKILL of its own", line("sh -c 'kill -9 $PPID'; sleep 5; exit 9")),
  container("ended by SIGTERM of its own", line("trap - TERM; kill -15 $$; exit 9")),
  container("segmentation fault", line("sh -c 'kill -11 $$'; exit $?")),
  container(
    "stopped by the stop signal",
    line("trap 'exit 42' TERM; echo @@ready; while true; do sleep 0.1; done", { execs: {}, grace: 10n }),
  ),
  container("stopped by the image's stop signal", {
    image: "with-config",
    ...line("trap 'exit 43' USR1; echo @@ready; while true; do sleep 0.1; done", { execs: {}, grace: 10n }),
  }),
  container(
    "killed after the grace",
    line("trap '' TERM; echo @@ready; while true; do sleep 0.1; done", { execs: {}, grace: 1n }),
  ),
  container(
    "killed at once",
    line("trap 'exit 42' TERM; echo @@ready; while true; do sleep 0.1; done", { execs: {}, grace: 0n }),
  ),
  container(
    "out of memory",
    line("dd if=/dev/zero of=/dev/null bs=40M; exit $?", {
      resources: { memoryLimitInBytes: 15n << 20n, memorySwapLimitInBytes: 15n << 20n },
    }),
  ),
];
