import { RuntimeError } from "../../base/errors.js";
import { orAborted } from "../../base/or-aborted.js";

/** That a guest stands still because it was told to. Nobody calls it meanwhile; what waits for a process waits on. */
export class Rest {
  #over: Promise<void> | undefined;
  #end: () => void = () => undefined;

  get isResting(): boolean {
    return this.#over !== undefined;
  }

  begin(): void {
    this.#over ??= new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  end(): void {
    this.#over = undefined;
    this.#end();
  }

  /** Resolves at once where nothing rests. */
  async awake(signal: AbortSignal): Promise<void> {
    while (this.#over !== undefined) await orAborted(this.#over, signal);
  }

  /** For calls that have a limit. */
  throwIfResting(): void {
    if (this.isResting) throw resting();
  }
}

export function resting(): RuntimeError {
  return new RuntimeError("unavailable", "the sandbox is paused", { stage: "agent" });
}
