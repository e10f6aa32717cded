import { digest } from "../../base/ids.js";
import {
  SandboxServiceService as service,
  type CreateSandboxRequest,
  type PullProgress as Progress,
  type Sandbox,
} from "../../gen/sandboxes/v1/sandboxes.js";
import { PullProgress, type ProgressTarget } from "../image/progress.js";
import type { Edge } from "./connect.js";

/**
 * Makes a sandbox, and shows the pull of its image where there is one. Whoever is interrupted meanwhile leaves nothing: with
 * the connection the daemon gives up what it has begun, the pull too.
 */
export async function createShown(edge: Edge, create: CreateSandboxRequest, target: ProgressTarget): Promise<Sandbox> {
  const shown = new Shown(target);
  for await (const { pull, sandbox } of edge.events(service.createSandboxWatched, { create })) {
    if (pull !== undefined) shown.show(pull);
    if (sandbox === undefined) continue;
    shown.end();
    return sandbox;
  }
  throw new Error("the daemon has answered without a sandbox");
}

/** Of what is told, always all of it, the difference to what is drawn. */
class Shown {
  readonly #progress: PullProgress;
  #received: readonly bigint[] | undefined;

  constructor(target: ProgressTarget) {
    this.#progress = new PullProgress(target);
  }

  show({ layers }: Progress): void {
    if (this.#received?.length !== layers.length) {
      const planned = layers.map((layer) => ({ digest: digest(layer.digest), sizeBytes: Number(layer.sizeBytes) }));
      this.#progress.planned(planned);
      this.#received = layers.map(() => 0n);
    }
    for (const [at, { digest: blob, receivedBytes }] of layers.entries()) {
      this.#progress.received(blob, Number(receivedBytes - (this.#received[at] ?? 0n)));
    }
    this.#received = layers.map(({ receivedBytes }) => receivedBytes);
    this.#progress.draw();
  }

  end(): void {
    if (this.#received !== undefined) this.#progress.end();
  }
}
