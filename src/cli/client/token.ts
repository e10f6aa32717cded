import { exitStatus, parseFlags, print, usageError } from "../command.js";
import { tokenOf } from "./endpoint.js";

export async function token(args: string[]): Promise<number> {
  parseFlags({ args, options: {} });
  const found = await tokenOf(process.env);
  if (found === undefined) throw usageError("neither A3S_BOX_TOKEN nor A3S_BOX_TOKEN_FILE is set");
  print(`${found}\n`);
  return exitStatus.ok;
}
