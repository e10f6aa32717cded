import { RuntimeError } from "../../../base/errors.js";
import type { Native } from "../../../native/addon.js";
import type { Driver, StartRequest, StartedVm } from "../driver.js";

export interface KrunPrograms {
  readonly launcher: string;
  readonly libkrun: string;
  readonly kernel: string;
}

export class KrunDriver implements Driver {
  readonly name = "krun";
  readonly #native: Native;
  readonly #programs: KrunPrograms;

  constructor(native: Native, programs: KrunPrograms) {
    this.#native = native;
    this.#programs = programs;
  }

  start(_request: StartRequest, _signal: AbortSignal): Promise<StartedVm> {
    throw new RuntimeError("unimplemented", "the krun driver is not there yet");
  }
}
