import type { BoxDirectory } from "./box-directory.js";
import { deathIn, lastLines, tailOf } from "./console.js";

/** A kernel's last report, with all that it says of its processors. */
const reportBytes = 32 * 1024;

/** Adds to a reason what VMM, file server, guest and agent wrote last; each part only where there is one, and only once. */
export async function explainExit(reason: string, directory: BoxDirectory): Promise<string> {
  const sources = [
    ["vmm log", directory.vmmLog],
    ["file server log", directory.fsLog],
    ["console", directory.console],
    ["agent log", directory.agentLog],
  ] as const;
  const parts = [reason];
  for (const [name, path] of sources) {
    const text = await tailOf(path, reportBytes);
    const said = deathIn(text) || lastLines(text, 3);
    if (said !== "" && !reason.includes(said)) parts.push(`${name}: ${said}`);
  }
  return parts.join("; ");
}
