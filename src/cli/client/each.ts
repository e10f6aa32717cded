import { messageOf } from "../../base/errors.js";
import { exitStatus, print } from "../command.js";

/** Does the same to each that was named. One that fails does not keep the others. */
export async function each(said: readonly string[], work: (one: string) => Promise<void>): Promise<number> {
  let status: number = exitStatus.ok;
  for (const one of said) {
    try {
      await work(one);
      print(`${one}\n`);
    } catch (thrown) {
      process.stderr.write(`a3s-box: ${one}: ${messageOf(thrown)}\n`);
      status = exitStatus.failed;
    }
  }
  return status;
}
