import { rm } from "node:fs/promises";
import { join } from "node:path";
import { codeOf, messageOf } from "../../base/errors.js";
import { onItsOwn } from "../../base/hold.js";
import type { PodId } from "../../base/ids.js";
import type { Container } from "../../runtime/container/container.js";
import type { Deps } from "../../runtime/deps.js";
import { detachedExecsOf } from "../../runtime/exec/detached-execs.js";
import { filesOf } from "../core/container-files.js";
import type { Files } from "../core/file.js";
import { forgetLost } from "../core/forget-lost.js";
import type { Processes } from "../core/process.js";
import type { ProcessStore } from "../core/processes/process-store.js";
import { SandboxProcesses } from "../core/processes/sandbox-processes.js";
import { insidesDirectory } from "./insides-directory.js";
import { OpeningProcesses } from "./opening-processes.js";

/** The agent keeps 256 execs of a container, and kubelet's probes want some. */
const mostRunning = 64;

interface Inside {
  readonly opening: Promise<ProcessStore>;
  readonly processes: Processes;
  readonly files: Files;
}

/** What the runtime API has of the containers of one pod. */
export class PodInsides {
  readonly #engine: Deps;
  readonly #directory: string;
  readonly #of = new Map<string, Inside>();

  constructor(engine: Deps, pod: PodId) {
    this.#engine = engine;
    this.#directory = join(insidesDirectory(engine), pod);
  }

  of(container: Container, since: "made" | "takenUp"): Inside {
    const known = this.#of.get(container.id);
    if (known !== undefined) return known;
    this.#dropEnded();
    const opening = onItsOwn(() => this.#open(container, since));
    const inside = { opening, processes: new OpeningProcesses(opening), files: filesOf(container, this.#engine) };
    this.#of.set(container.id, inside);
    opening.catch(() => this.#of.delete(container.id));
    return inside;
  }

  /** The pod has ended: what is kept of it goes. */
  async remove(): Promise<void> {
    await Promise.allSettled(
      [...this.#of.values()].map(async ({ opening }) => {
        await (await opening).remove();
      }),
    );
    this.#of.clear();
    await rm(this.#directory, { recursive: true, force: true });
  }

  /** The daemon stops. */
  async close(): Promise<void> {
    await Promise.allSettled(
      [...this.#of.values()].map(async ({ opening }) => {
        await (await opening).close();
      }),
    );
  }

  /** A container that ends takes its processes along. */
  #dropEnded(): void {
    for (const [id, { opening }] of this.#of) {
      if (this.#engine.containers.find(id)?.state === "running") continue;
      this.#of.delete(id);
      void onItsOwn(() => Promise.allSettled([opening.then((store) => store.remove())]));
    }
  }

  async #open(container: Container, since: "made" | "takenUp"): Promise<ProcessStore> {
    const log = this.#engine.log.child({ sandboxId: container.sandboxId, containerId: container.id });
    const directory = join(this.#directory, container.id);
    const execs = detachedExecsOf(container, this.#engine);
    const store = await SandboxProcesses.open(directory, execs, log, { mostRunning });
    if (since === "made") return store;
    try {
      await store.takeUp(this.#engine.closing);
      // They live no longer than the calls that have started them, which have ended with the daemon before.
      for (const { id } of store.list()) await forgetLost(store, id, log);
    } catch (thrown) {
      if (!this.#engine.closing.aborted) {
        log.warn({ code: codeOf(thrown), err: messageOf(thrown) }, "processes could not be taken up");
      }
      throw thrown;
    }
    return store;
  }
}
