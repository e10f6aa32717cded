import type { SandboxProcesses } from "../commands/processes.js";
import { FailedPreconditionError } from "../errors.js";
import type { SandboxCalls } from "../sandbox/calls.js";
import type { PromptOpts, PromptResult } from "./messages.js";
import { AgentSession, type AgentStartOpts } from "./session.js";

/** The coding agent of a sandbox: what its template, or `agent` of its creation, names. */
export class Agent {
  readonly #processes: SandboxProcesses;
  readonly #calls: SandboxCalls;
  #session: Promise<AgentSession> | undefined;

  constructor(processes: SandboxProcesses, calls: SandboxCalls) {
    this.#processes = processes;
    this.#calls = calls;
  }

  /** A session of its own. `FailedPreconditionError` where the sandbox has no agent, or one that can't be spoken to. */
  async start(opts: AgentStartOpts = {}): Promise<AgentSession> {
    this.#processes.requireStreams("agent.start");
    const { agent, cwd } = await this.#calls.info(opts);
    if (agent === undefined || agent.command.length === 0) {
      const { stage, sandboxId } = this.#processes.call("agent.start", opts);
      const what =
        agent === undefined ? "the sandbox was made without a coding agent" : `agent ${agent.name} speaks no ACP`;
      throw new FailedPreconditionError(what, { stage, sandboxId });
    }
    return await AgentSession.start(this.#processes, agent.command, cwd, opts);
  }

  /** One turn of a session that all calls of this have together; the first one starts it, and says how it is to be. */
  async prompt(prompt: string | readonly unknown[], opts: PromptOpts & AgentStartOpts = {}): Promise<PromptResult> {
    this.#session ??= this.start(opts);
    let session: AgentSession;
    try {
      session = await this.#session;
    } catch (thrown) {
      this.#session = undefined;
      throw thrown;
    }
    return await session.prompt(prompt, opts);
  }

  /** The turn of `prompt` that goes on ends as "cancelled". */
  async cancel(): Promise<void> {
    await (await this.#session)?.cancel();
  }

  /** Ends the session of `prompt`; the next one starts another. */
  async close(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    (await session)?.close();
  }
}
