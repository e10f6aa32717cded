import type { Logger } from "../../base/log.js";
import type { SandboxesConfig } from "../../config/sandboxes.js";
import type { SandboxFigures } from "../../metrics/sandbox-figures.js";
import type { Deps } from "../../runtime/deps.js";
import type { Owners } from "./owners.js";
import type { Insides } from "./insides.js";
import type { RecordStore } from "./store.js";

/** What the core's own functions work with; made once, in `open.ts`. */
export interface Core {
  readonly engine: Deps;
  readonly config: SandboxesConfig;
  readonly records: RecordStore;
  readonly insides: Insides;
  readonly owners: Owners;
  readonly figures: SandboxFigures;
  readonly log: Logger;
}
