import { RuntimeError } from "../../base/errors.js";
import { Signal } from "../../gen/runtime/v1/api.js";
import { numberOfName } from "../../runtime/spec/signals.js";

/** The wish as a name; undefined: the image's. */
export function signalNameOf(signal: Signal): string | undefined {
  if (signal === Signal.RUNTIME_DEFAULT) return undefined;
  const name = Object.entries(Signal).find(([, value]) => value === signal)?.[0];
  if (name !== undefined) return name;
  throw new RuntimeError("invalidArgument", `stop_signal ${String(signal)} is not a known signal`);
}

/** The member of CRI's enum for a wish, else the first one for the number of Linux. */
export function criSignal(wish: string | undefined, number: number): Signal {
  for (const [name, value] of Object.entries(Signal)) {
    if (value === Signal.RUNTIME_DEFAULT) continue;
    if (wish === undefined ? numberOfName(name) === number : name === wish) return value;
  }
  return Signal.RUNTIME_DEFAULT;
}
