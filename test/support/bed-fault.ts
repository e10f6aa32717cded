/**
 * Faults of the nested VM's KVM, which stands on an emulated processor: a vCPU that stops with an internal error, a guest
 * that resets while nothing was wrong in it. A guest's own panic is none.
 */
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { driver, runningDaemons } from "./daemon.js";

const fault = /KVM_EXIT_INTERNAL_ERROR|vmm exited with status 0/;
const ofTheGuest = /panic|Call Trace|BUG:/i;

/** What the text says of such a fault; undefined when it says nothing of one, or the VM is a real machine's. */
export function bedFault(text: string): string | undefined {
  if (driver !== "krun") return undefined;
  return text.split("\n").flatMap((line) => (ofTheGuest.test(line) ? [] : (fault.exec(line)?.[0] ?? [])))[0];
}

/** Finds what the daemons that run have logged of such faults since it was last asked. */
export class DaemonLogs {
  readonly #readTo = new Map<string, number>();

  fault(): string | undefined {
    const added = runningDaemons().map(({ base }) => this.#added(join(base, "daemon.log")));
    return bedFault(added.join("\n"));
  }

  #added(file: string): string {
    const from = this.#readTo.get(file) ?? 0;
    try {
      this.#readTo.set(file, statSync(file).size);
      return readFileSync(file).subarray(from).toString();
    } catch {
      return ""; // the daemon has just been removed
    }
  }
}
