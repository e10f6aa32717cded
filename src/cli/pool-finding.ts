import type { Config } from "../config/config.js";
import { availableMib } from "../vmm/pool/available-memory.js";
import { boxMib } from "../vmm/pool/next-act.js";
import type { Finding } from "./finding.js";
import { poolOptions } from "./pool-options.js";

/** Whether the host has the memory for Boxes that are to be ready; nothing where none are. */
export async function poolFindings(config: Config): Promise<Finding[]> {
  const { wanted, leastFreeMib } = poolOptions(config);
  const count = wanted.reduce((sum, one) => sum + one.count, 0);
  if (count === 0) return [];
  const subject = "ready Boxes";
  const available = Math.floor(await availableMib());
  const needed = count * boxMib + leastFreeMib;
  const detail = `${String(count)} wanted; ${String(available)} MiB of memory available, ${String(leastFreeMib)} to be left`;
  if (needed <= available) return [{ subject, verdict: "OK", detail }];
  const remedy = `free some, or lower the counts: all of them may need ${String(needed)} MiB`;
  return [{ subject, verdict: "optional", detail, remedy }];
}
