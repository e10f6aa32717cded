import type { Config } from "../config/config.js";
import { loadConfig } from "../config/load.js";
import { checkRunning } from "./check-running.js";
import { configFlags, exitStatus, parseFlags, print, usageError } from "./command.js";
import { machineTable } from "./machine-table.js";

/** Prints what this machine can do, or with `--running` what of the runtime's things is not as the records have it. */
export async function check(args: string[]): Promise<number> {
  const options = { ...configFlags, running: { type: "boolean" }, json: { type: "boolean" } } as const;
  const { values } = parseFlags({ args, options });
  const config = await loadConfig(values);
  if (values.running === true) return await checkRunning(config, values.json === true);
  if (values.json === true) throw usageError("--json goes with --running");
  return await checkMachine(config);
}

/** Missing optional parts don't fail; that no Box can be run does. */
async function checkMachine(config: Config): Promise<number> {
  const { text, chosen, lacking } = await machineTable(config);
  print(text);
  if (lacking.length > 0) {
    print(`\nBoxes can't be run here: ${lacking.join(", ")} missing.\n`);
    return exitStatus.failed;
  }
  print(`\nBoxes can be run here, by ${chosen}.\n`);
  return exitStatus.ok;
}
