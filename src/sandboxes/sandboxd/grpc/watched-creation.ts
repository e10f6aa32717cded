import { setTimeout as delay } from "node:timers/promises";
import { RuntimeError } from "../../../base/errors.js";
import type {
  CreateSandboxWatchedRequest,
  CreateSandboxWatchedResponse,
  LayerProgress,
  PullProgress,
} from "../../../gen/sandboxes/v1/sandboxes.js";
import type { PlannedLayer, PullWatch } from "../../../image/image-store.js";
import type { Sandboxes } from "../../core/sandboxes.js";
import type { Asked } from "./calls.js";
import { sandboxMessage, sandboxWanted } from "./map/sandbox.js";

/** As often as anybody looks at a bar. */
const tellEveryMs = 200;

/** Word of the pull as it goes, where there is one, and the sandbox at last. */
export async function* watchedCreation(
  sandboxes: Sandboxes,
  { create }: CreateSandboxWatchedRequest,
  { caller, signal }: Pick<Asked, "caller" | "signal">,
): AsyncGenerator<CreateSandboxWatchedResponse, void> {
  if (create === undefined) throw new RuntimeError("invalidArgument", "no create in the request");
  const tally = new PullTally();
  const over = new AbortController();
  const making = sandboxes.create(caller, sandboxWanted(create), signal, tally).finally(() => {
    over.abort();
  });
  making.catch(() => undefined); // it is waited for below
  while (!over.signal.aborted) {
    await delay(tellEveryMs, undefined, { signal: over.signal }).catch(() => undefined);
    const pull = tally.news();
    if (pull !== undefined) yield { pull };
  }
  yield { sandbox: sandboxMessage(await making) };
}

class PullTally implements PullWatch {
  #layers: LayerProgress[] = [];
  #isNew = false;

  planned(layers: readonly PlannedLayer[]): void {
    this.#layers = layers.map(({ digest, sizeBytes }) => ({ digest, sizeBytes: BigInt(sizeBytes), receivedBytes: 0n }));
    this.#isNew = true;
  }

  received(blob: string, bytes: number): void {
    this.#layers = this.#layers.map((layer) =>
      layer.digest === blob ? { ...layer, receivedBytes: layer.receivedBytes + BigInt(bytes) } : layer,
    );
    this.#isNew = true;
  }

  /** Undefined: as it was told. */
  news(): PullProgress | undefined {
    if (!this.#isNew) return undefined;
    this.#isNew = false;
    return { layers: this.#layers };
  }
}
