import { monotonicMs } from "../../base/clock.js";
import { RuntimeError } from "../../base/errors.js";
import { orAborted } from "../../base/or-aborted.js";
import type { HostFile, Native } from "../../native/addon.js";

/** Of file systems that do not answer: each question keeps a thread, of some 20 KiB, until it is answered. */
const mostQuestions = 64;

interface Question {
  readonly file: Promise<HostFile>;
  readonly askedMs: number;
}

/**
 * What is at a path of the host, whose file system may be dead (a server that has gone). A question makes nothing, so who
 * has asked may leave; who asks the same meanwhile waits for the same answer: a dead path keeps one thread, however often
 * its pods are tried again, and none of those that the rest of the daemon has.
 */
export class HostLookups {
  readonly #native: Pick<Native, "lookUp">;
  readonly #questions = new Map<string, Question>();

  constructor(native: Pick<Native, "lookUp">) {
    this.#native = native;
  }

  /** Links are followed. Throws what the system says, and `unavailable` when too much is waited for already. */
  async lookUp(path: string, signal: AbortSignal): Promise<HostFile> {
    const question = this.#questions.get(path) ?? this.#ask(path);
    try {
      return await orAborted(question.file, signal);
    } catch (thrown) {
      if (!signal.aborted) throw thrown;
      const seconds = Math.round((monotonicMs() - question.askedMs) / 1000);
      throw new RuntimeError(
        "unavailable",
        `${path} was asked for ${seconds} s ago, and its file system does not answer`,
        {
          hint: "see whether what is mounted there is reachable",
          cause: thrown,
        },
      );
    }
  }

  #ask(path: string): Question {
    if (this.#questions.size >= mostQuestions) {
      const some = [...this.#questions.keys()].slice(0, 3).join(", ");
      throw new RuntimeError("unavailable", `file systems of the host do not answer: ${some} and others`, {
        hint: `${mostQuestions} questions are waiting: see whether what is mounted there is reachable`,
      });
    }
    const file = this.#native.lookUp(path);
    const question = { file, askedMs: monotonicMs() };
    this.#questions.set(path, question);
    const forget = (): void => void this.#questions.delete(path);
    file.then(forget, forget);
    return question;
  }
}
