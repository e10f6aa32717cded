import { codeOf, RuntimeError } from "../../../base/errors.js";
import { orAborted } from "../../../base/or-aborted.js";
import type { ProcessRef } from "../../../gen/agent/v1/agent.js";
import type { AgentClient } from "../../../vmm/agent/agent-client.js";

/** What a terminal takes for the end of its input: VEOF as it is set at first. */
const endOfTransmission = Uint8Array.of(4);

/**
 * Input for one process: of several who write at once each has its turn, whole. A write has ended well when the process's
 * side has all of it, in its pipe or terminal; one that is given up may have arrived in part.
 */
export class InputQueue {
  readonly #process: ProcessRef;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(process: ProcessRef) {
    this.#process = process;
  }

  async write(agent: () => Promise<AgentClient>, data: Uint8Array, signal: AbortSignal): Promise<void> {
    await this.#next(signal, async () => {
      const input = (await agent()).input(this.#process, signal);
      await input.write(data);
      await input.finish();
    });
  }

  /** Success when it was closed before. */
  async close(agent: () => Promise<AgentClient>, isTerminal: boolean, signal: AbortSignal): Promise<void> {
    if (isTerminal) {
      await this.write(agent, endOfTransmission, signal);
      return;
    }
    await this.#next(signal, async () => {
      try {
        await (await agent()).input(this.#process, signal).end();
      } catch (thrown) {
        // It has closed it itself, or has exited: there is nothing to close any more.
        if (!["failedPrecondition", "notFound"].includes(codeOf(thrown))) throw thrown;
      }
    });
  }

  async #next(signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    const before = this.#turn;
    const mine = (async (): Promise<void> => {
      await before.catch(() => undefined);
      if (signal.aborted) throw new RuntimeError("canceled", "the caller gave up");
      await work();
    })();
    this.#turn = mine;
    mine.catch(() => undefined);
    await orAborted(mine, signal);
  }
}
