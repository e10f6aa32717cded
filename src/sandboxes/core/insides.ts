import { codeOf, messageOf, RuntimeError } from "../../base/errors.js";
import { onItsOwn } from "../../base/hold.js";
import type { Logger } from "../../base/log.js";
import { stage } from "../../base/stage.js";
import type { Container } from "../../runtime/container/container.js";
import type { Deps } from "../../runtime/deps.js";
import { filesOf } from "./container-files.js";
import type { Files } from "./file.js";
import { removeLogs, removeStrayLogs } from "./logs.js";
import { openProcesses, removeStrayProcesses } from "./processes/open-processes.js";
import type { ProcessStore } from "./processes/process-store.js";
import type { SandboxName } from "./sandbox.js";

interface Inside {
  readonly processes: ProcessStore;
  readonly files: Files;
}

const stepLimitMs = 20_000;

/** What is in each sandbox: its processes, which have records of their own, and its files. */
export class Insides {
  readonly #engine: Deps;
  readonly #log: Logger;
  readonly #of = new Map<SandboxName, Inside>();

  constructor(engine: Deps, log: Logger) {
    this.#engine = engine;
    this.#log = log;
  }

  /** Of a new sandbox. */
  async open(id: SandboxName, container: Container): Promise<void> {
    const processes = await openProcesses(id, container, this.#engine);
    this.#of.set(id, { processes, files: filesOf(container, this.#engine) });
  }

  /** Of one that was there before the daemon: its processes are found again when its Box is. */
  async takeUp(id: SandboxName, container: Container): Promise<void> {
    await this.open(id, container);
    const begin = (): void => {
      void onItsOwn(() => this.#takeUpProcesses(id));
    };
    const pod = this.#engine.sandboxes.find(container.sandboxId);
    if (pod === undefined) begin();
    else pod.whenAwake(begin);
  }

  async #takeUpProcesses(id: SandboxName): Promise<void> {
    try {
      await this.#require(id).processes.takeUp(this.#engine.closing);
    } catch (thrown) {
      if (this.#engine.closing.aborted) return;
      const fields = { sandbox: id, code: codeOf(thrown), err: messageOf(thrown) };
      this.#log.warn(fields, "processes could not be taken up");
    }
  }

  processes(id: SandboxName): ProcessStore {
    return this.#require(id).processes;
  }

  files(id: SandboxName): Files {
    return this.#require(id).files;
  }

  /** Its Box has gone: all that is kept of it goes. Success when there is nothing. */
  async remove(id: SandboxName, signal: AbortSignal): Promise<void> {
    await stage("remove its log", stepLimitMs, signal, () => removeLogs(this.#engine.config.root, id));
    const inside = this.#of.get(id);
    if (inside === undefined) return;
    await stage("remove what its processes have left", stepLimitMs, signal, () => inside.processes.remove());
    this.#of.delete(id);
  }

  /** What is kept of processes in sandboxes that are not `known`, before any of them is taken up. */
  async removeStrayProcesses(known: ReadonlySet<string>): Promise<void> {
    await removeStrayProcesses(known, this.#engine);
  }

  /** The logs of sandboxes that are not `known`, once their pods have gone: a pod that runs writes its log. */
  async removeStrayLogs(known: ReadonlySet<string>): Promise<void> {
    await removeStrayLogs(this.#engine.config.root, known);
  }

  /** The daemon stops: all goes on without it. */
  async close(): Promise<void> {
    await Promise.all([...this.#of.values()].map(({ processes }) => processes.close()));
  }

  #require(id: SandboxName): Inside {
    const inside = this.#of.get(id);
    if (inside !== undefined) return inside;
    throw new RuntimeError("unavailable", `sandbox ${id} is being taken up`, { hint: "try again" });
  }
}
