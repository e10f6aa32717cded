import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../../../base/errors.js";
import { Limiter } from "../../../base/limiter.js";
import type { Logger } from "../../../base/log.js";
import { namesIn } from "../../../base/names-in.js";
import { neverAborted } from "../../../base/signals.js";
import { KeptProcess } from "./kept-process.js";
import { readRecord } from "./process-record.js";

const readsAtOnce = 16;

export interface LoadedProcesses {
  readonly processes: readonly KeptProcess[];
  /** Of all numbers that were ever given; 0: none was. */
  readonly highest: number;
}

/**
 * What an earlier daemon has left in a sandbox's directory. The directory with the highest number says so even when it is
 * empty; others without a record go: it was being written, or being removed.
 */
export async function loadProcesses(
  directory: string,
  sessionId: string,
  ringBytes: number,
  log: Logger,
): Promise<LoadedProcesses> {
  const numbers = (await namesIn(directory))
    .filter((name) => /^[1-9][0-9]{0,14}$/.test(name))
    .map(Number)
    .sort((a, b) => a - b);
  const highest = numbers.at(-1) ?? 0;
  const turns = new Limiter<"read">({ inAll: readsAtOnce });
  const loaded = await Promise.all(
    numbers.map((number) =>
      turns.run("read", neverAborted, async () => {
        const own = join(directory, String(number));
        const names = await namesIn(own);
        try {
          if (names.length === 0) throw new Error("there is no record");
          const record = await readRecord(own);
          const sizes = await Promise.all(names.map(async (name) => (await stat(join(own, name))).size));
          const bytes = sizes.reduce((sum, size) => sum + size, 0);
          return [KeptProcess.known(record, sessionId, { directory: own, ringBytes, log }, bytes)];
        } catch (thrown) {
          if (names.length > 0)
            log.warn({ process: number, err: messageOf(thrown) }, "process without a record removed");
          for (const name of names) await rm(join(own, name), { recursive: true, force: true });
          if (number !== highest) await rm(own, { recursive: true, force: true });
          return [];
        }
      }),
    ),
  );
  return { processes: loaded.flat(), highest };
}
