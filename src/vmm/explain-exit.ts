import type { BoxDirectory } from "./box-directory.js";
import { lastLines, tailOf } from "./console.js";

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
    const said = lastLines(await tailOf(path), 3);
    if (said !== "" && !reason.includes(said)) parts.push(`${name}: ${said}`);
  }
  return parts.join("; ");
}
