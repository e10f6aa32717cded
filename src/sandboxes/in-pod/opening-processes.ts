import { RuntimeError } from "../../base/errors.js";
import type {
  OutputFrom,
  ProcessEvent,
  ProcessNumber,
  Processes,
  ProcessView,
  ProcessWanted,
  TerminalWanted,
} from "../core/process.js";
import type { ProcessStore } from "../core/processes/process-store.js";

/** The processes of a container from its first moment on: what an earlier daemon has left is being taken up still. */
export class OpeningProcesses implements Processes {
  readonly #opening: Promise<ProcessStore>;
  #store: ProcessStore | undefined;

  constructor(opening: Promise<ProcessStore>) {
    this.#opening = opening;
    opening.then(
      (store) => {
        this.#store = store;
      },
      () => undefined, // whoever starts something is told
    );
  }

  async start(wanted: ProcessWanted, signal: AbortSignal): Promise<ProcessView> {
    return await (await this.#opening).start(wanted, signal);
  }

  get(id: ProcessNumber): ProcessView {
    return this.#known(id).get(id);
  }

  tagged(tag: string): ProcessView {
    if (this.#store === undefined) throw new RuntimeError("notFound", `there is no process with the tag "${tag}"`);
    return this.#store.tagged(tag);
  }

  async startedBy(startId: string, signal: AbortSignal): Promise<ProcessView> {
    return await (await this.#opening).startedBy(startId, signal);
  }

  list(): readonly ProcessView[] {
    return this.#store?.list() ?? [];
  }

  connect(id: ProcessNumber, from: OutputFrom, signal: AbortSignal): AsyncIterable<ProcessEvent> {
    return this.#known(id).connect(id, from, signal);
  }

  async write(id: ProcessNumber, data: Uint8Array, signal: AbortSignal): Promise<void> {
    await this.#known(id).write(id, data, signal);
  }

  async closeInput(id: ProcessNumber, signal: AbortSignal): Promise<void> {
    await this.#known(id).closeInput(id, signal);
  }

  async signal(id: ProcessNumber, number: number, all: boolean, signal: AbortSignal): Promise<void> {
    await this.#known(id).signal(id, number, all, signal);
  }

  async resize(id: ProcessNumber, size: TerminalWanted, signal: AbortSignal): Promise<void> {
    await this.#known(id).resize(id, size, signal);
  }

  async forget(id: ProcessNumber, signal: AbortSignal): Promise<void> {
    await this.#known(id).forget(id, signal);
  }

  /** Nobody has been told of a process before they are all there. */
  #known(id: ProcessNumber): ProcessStore {
    if (this.#store === undefined) throw new RuntimeError("notFound", `there is no process ${String(id)}`);
    return this.#store;
  }
}
