import { ProcessServiceService as service } from "../../gen/sandboxes/v1/processes.js";
import { exitStatus, parseFlags, print, splitAtFirstWord, usageError } from "../command.js";
import { findSandbox } from "./find-sandbox.js";
import { edgeOf, programFlags } from "./flags.js";
import { programOf } from "./program.js";
import { runProcess } from "./run-process.js";

/** `exec`: one more program in a sandbox; its exit status is the command's. With -d its number is printed instead. */
export async function exec(args: string[]): Promise<number> {
  const { flags, words } = splitAtFirstWord(args, programFlags);
  const { values } = parseFlags({ args: flags, options: programFlags });
  const [said, ...program] = words;
  if (said === undefined || program.length === 0) throw usageError("exec: in which sandbox, and what?");
  using edge = await edgeOf(values);
  const { id } = await findSandbox(edge, said);
  const start = programOf(id, program, values, "");
  if (values.detach !== true) return await runProcess(edge, start, values.interactive === true);
  const { process: started } = await edge.call(service.startProcess, start);
  print(`${String(started?.id ?? 0)}\n`);
  return exitStatus.ok;
}
