import { messageOf } from "../../base/errors.js";
import { onItsOwn } from "../../base/hold.js";
import type { Deps } from "../../runtime/deps.js";
import type { Core } from "./core.js";
import { EngineSandboxes } from "./engine-sandboxes.js";
import { Lives } from "./lives.js";
import { Insides } from "./insides.js";
import { EnginePods, type Owners } from "./owners.js";
import type { Sandboxes } from "./sandboxes.js";
import { RecordStore } from "./store.js";
import { goOn, takeUp } from "./take-up.js";

export interface OpenSandboxes {
  readonly sandboxes: Sandboxes;
  /** Resolves when no creation is under way: at shutdown, after nobody asks any more. */
  idle(): Promise<void>;
  /** Timers stop, connections end; sandboxes and their processes live on. */
  close(): Promise<void>;
}

export interface OpenOptions {
  /** Where owners may be pods of others: whoever knows them. Absent: pods of this daemon alone. */
  readonly owners?: Owners;
}

/** Takes up the sandboxes of an earlier daemon. The engine's recovery has been called before: its pods are waited for. */
export async function openSandboxes(engine: Deps, { owners }: OpenOptions = {}): Promise<OpenSandboxes> {
  const log = engine.log.child({ part: "sandboxes" });
  const core: Core = {
    ...{ engine, log, config: engine.config.sandboxes },
    insides: new Insides(engine, log),
    records: await RecordStore.open(engine.config.root, log),
    owners: owners ?? new EnginePods(engine.sandboxes),
    figures: engine.metrics.agentSandboxes,
  };
  const lives = new Lives(core);
  const sandboxes = new EngineSandboxes(core, lives);
  await takeUp(core);
  void onItsOwn(async () => {
    await goOn(core, lives).catch((thrown: unknown) => {
      log.error({ err: messageOf(thrown) }, "sandboxes could not be taken up");
    });
  });
  return {
    sandboxes,
    idle: () => sandboxes.idle(),
    close: async () => {
      lives.close();
      await core.insides.close();
    },
  };
}
