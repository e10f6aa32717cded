import type { SandboxProcesses } from "../commands/processes.js";
import { Deadline, until } from "../deadline.js";
import { SandboxError } from "../errors.js";
import type { RequestOpts } from "../options.js";
import {
  member,
  questionOf,
  textOf,
  updateOf,
  type AgentUpdate,
  type PermissionQuestion,
  type PromptOpts,
  type PromptResult,
} from "./messages.js";
import { Rpc } from "./rpc.js";

/** The first start of an agent reads a lot. */
const usualStartMs = 180_000;
/** A turn that was cancelled says so itself; an agent that does not is ended. */
const cancelMs = 30_000;
const keptErrorCharacters = 2000;

export interface AgentStartOpts extends RequestOpts {
  /** Absolute; usually the sandbox's working directory. */
  readonly cwd?: string;
  /** Over the sandbox's. */
  readonly envs?: Readonly<Record<string, string>>;
  /** The option that is chosen, by its id; undefined: none. Without it every question is answered by a rejection. */
  readonly onPermission?: (question: PermissionQuestion) => string | undefined | Promise<string | undefined>;
  /** MCP servers for the agent, as ACP has them. */
  readonly mcpServers?: readonly unknown[];
}

interface Turn {
  readonly opts: PromptOpts;
  text: string;
}

/** A conversation with an agent, which is a process of the sandbox. It goes on over a restart of the runtime. */
export class AgentSession {
  /** Of its process. */
  readonly pid: number;
  readonly sessionId: string;
  readonly #parts: Parts;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(parts: Parts, sessionId: string) {
    this.pid = parts.pid;
    this.sessionId = sessionId;
    this.#parts = parts;
  }

  static async start(
    processes: SandboxProcesses,
    command: readonly string[],
    workingDir: string,
    opts: AgentStartOpts = {},
  ): Promise<AgentSession> {
    const call = { ...processes.call("agent.start", opts), usualMs: usualStartMs };
    const detail = { stage: call.stage, sandboxId: call.sandboxId };
    const wanted = {
      ...{ command, env: opts.envs ?? {}, workingDir: opts.cwd ?? "", user: "" },
      ...{ stdin: true, limitMs: 0 },
    };
    const handle = await processes.start(wanted, {}, call);
    await handle.disconnect(); // it is read by a connection that keeps nothing
    const parts = new Parts(processes, handle.pid, opts, detail);
    const limit = new Deadline(opts.requestTimeoutMs ?? usualStartMs, opts.signal, detail);
    try {
      const { rpc } = parts;
      // What it may do it does in the sandbox: no files and no terminals of this side.
      const hello = { protocolVersion: 1, clientCapabilities: {}, clientInfo: { name: "a3s-box-sdk", version: "1" } };
      await until(rpc.request("initialize", hello), limit.signal);
      const cwd = opts.cwd ?? workingDir;
      const made = await until(rpc.request("session/new", { cwd, mcpServers: opts.mcpServers ?? [] }), limit.signal);
      const sessionId = member(made, "sessionId");
      if (typeof sessionId !== "string") throw new SandboxError("the agent has made no session", detail);
      return new AgentSession(parts, sessionId);
    } catch (thrown) {
      parts.end();
      throw thrown;
    } finally {
      limit.clear();
    }
  }

  /** One turn: resolves when the agent has ended it. Turns of one session come one after the other. */
  async prompt(prompt: string | readonly unknown[], opts: PromptOpts = {}): Promise<PromptResult> {
    const turn = this.#last.then(() => this.#turn(prompt, opts));
    this.#last = turn.catch(() => undefined);
    return await turn;
  }

  /** The turn that goes on ends as "cancelled". */
  async cancel(): Promise<void> {
    await this.#parts.rpc.notify("session/cancel", { sessionId: this.sessionId });
    this.#parts.leaveQuestions();
  }

  /** Whatever else ACP has. */
  async request(method: string, params: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    return await this.#parts.rpc.request(method, { sessionId: this.sessionId, ...params });
  }

  /** Ends the agent. */
  close(): void {
    this.#parts.end();
  }

  async #turn(prompt: string | readonly unknown[], opts: PromptOpts): Promise<PromptResult> {
    const { rpc, detail } = this.#parts;
    const turn: Turn = { opts, text: "" };
    const limit = new Deadline(opts.timeoutMs ?? 0, opts.signal, { ...detail, stage: "agent.prompt" });
    const blocks = typeof prompt === "string" ? [{ type: "text", text: prompt }] : prompt;
    this.#parts.turn = turn;
    try {
      limit.signal.throwIfAborted();
      const answered = rpc.request("session/prompt", { sessionId: this.sessionId, prompt: blocks });
      const stopReason = member(await this.#answerOf(answered, limit.signal), "stopReason");
      return { stopReason: typeof stopReason === "string" ? stopReason : "", text: turn.text };
    } finally {
      this.#parts.turn = undefined;
      limit.clear();
    }
  }

  async #answerOf(answered: Promise<unknown>, signal: AbortSignal): Promise<unknown> {
    try {
      return await until(answered, signal);
    } catch (thrown) {
      if (signal.aborted) await this.#giveUp(answered);
      throw thrown; // why it was cancelled, whatever came of that
    }
  }

  /** What it says until the turn has ended is still this turn's. An agent that does not end it is ended: the rest would be the next's. */
  async #giveUp(answered: Promise<unknown>): Promise<void> {
    const grace = new Deadline(cancelMs, undefined, this.#parts.detail);
    const ended = answered.catch(() => undefined);
    try {
      await this.cancel();
      await until(ended, grace.signal);
    } catch {
      this.close();
    } finally {
      grace.clear();
    }
  }
}

/** The process behind a session, and what is read of it. */
class Parts {
  readonly pid: number;
  readonly rpc: Rpc;
  readonly detail: { readonly stage: string; readonly sandboxId: string | undefined };
  turn: Turn | undefined;
  readonly #processes: SandboxProcesses;
  readonly #opts: AgentStartOpts;
  readonly #stop = new AbortController();
  /** Ends the wait for each answer of the caller's. */
  readonly #questions = new Set<() => void>();
  #error = "";

  constructor(processes: SandboxProcesses, pid: number, opts: AgentStartOpts, detail: Parts["detail"]) {
    this.pid = pid;
    this.detail = detail;
    this.#processes = processes;
    this.#opts = opts;
    const call = processes.call("agent.prompt", undefined);
    this.rpc = new Rpc(
      {
        asked: (method, params) => this.#asked(method, params),
        told: (method, params) => this.#told(method, params),
        send: (line) => processes.sendInput(pid, line, call),
      },
      { ...detail, stage: "agent.prompt" },
    );
    void this.#read();
  }

  /** It is killed with all that it has started. */
  end(): void {
    this.#stop.abort(new SandboxError("the session was closed", this.detail));
    this.rpc.end(new SandboxError("the session was closed", this.detail));
    this.#processes.forget(this.pid, this.#processes.call("agent.close", undefined));
  }

  /** What is open when a turn is cancelled is answered so: an agent may wait for it before it asks anything else. */
  leaveQuestions(): void {
    for (const leave of this.#questions) leave();
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    try {
      for await (const part of this.#processes.output(this.pid, "start", this.#stop.signal)) {
        if ("lost" in part) throw new SandboxError(`${part.lost} bytes of the agent's output were lost`, this.detail);
        if (part.stream === "stdout") await this.rpc.take(part.data);
        else this.#error = (this.#error + decoder.decode(part.data, { stream: true })).slice(-keptErrorCharacters);
      }
      const said = this.#error.trim().split("\n").at(-1) ?? "";
      this.rpc.end(new SandboxError(`the agent has ended${said === "" ? "" : `: ${said}`}`, this.detail));
    } catch (thrown) {
      this.rpc.end(thrown instanceof Error ? thrown : new SandboxError(String(thrown), this.detail));
    }
  }

  async #asked(method: string, params: unknown): Promise<unknown> {
    if (method !== "session/request_permission") return undefined;
    const question = questionOf(params);
    const optionId = await this.#chosen(question);
    return { outcome: optionId === undefined ? { outcome: "cancelled" } : { outcome: "selected", optionId } };
  }

  async #chosen(question: PermissionQuestion): Promise<string | undefined> {
    const { onPermission } = this.#opts;
    if (onPermission === undefined) return question.options.find(isRejection)?.optionId;
    let leave = (): void => undefined;
    const left = new Promise<undefined>((resolve) => {
      leave = () => {
        resolve(undefined);
      };
    });
    this.#questions.add(leave);
    try {
      return await Promise.race([onPermission(question), left]);
    } finally {
      this.#questions.delete(leave);
    }
  }

  async #told(method: string, params: unknown): Promise<void> {
    const update = method === "session/update" ? updateOf(params) : undefined;
    const { turn } = this;
    if (update === undefined || turn === undefined) return;
    await this.#tell(turn, update);
  }

  async #tell(turn: Turn, update: AgentUpdate): Promise<void> {
    await turn.opts.onUpdate?.(update);
    const text = textOf(update);
    if (text === "") return;
    turn.text += text;
    await turn.opts.onText?.(text);
  }
}

function isRejection({ kind }: { readonly kind: string }): boolean {
  return kind === "reject_once";
}
