import { defaultConfigText } from "../config/default-text.js";
import { exitStatus, parseFlags, print } from "./command.js";

export function configDefault(args: string[]): Promise<number> {
  parseFlags({ args, options: {} });
  print(defaultConfigText());
  return Promise.resolve(exitStatus.ok);
}
