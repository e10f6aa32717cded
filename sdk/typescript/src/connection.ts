/** Calls with a limit, errors with a class, and connections that come back. */
import { status, type MethodDefinition } from "@grpc/grpc-js";
import { Deadline, reasonOf, sleep, until } from "./deadline.js";
import type { Endpoint } from "./endpoint.js";
import { SandboxNotFoundError, UnimplementedError, type SandboxError } from "./errors.js";
import { explained, type Subject } from "./explain.js";
import { SandboxServiceService } from "./gen/sandboxes/v1/sandboxes.js";
import type { ConnectionOpts, RequestOpts } from "./options.js";
import { openWire } from "./wire/open.js";
import { WireError, type Conversation, type Wire } from "./wire/wire.js";

const usualTimeoutMs = 60_000;
const usualReconnectMs = 30_000;
const shortestPauseMs = 100;
const longestPauseMs = 1_000;

/** One call, to whoever it goes wrong for. */
export interface Call {
  /** "files.read". */
  readonly stage: string;
  readonly subject: Subject;
  readonly sandboxId?: string | undefined;
  readonly opts?: RequestOpts | undefined;
  /** Where the caller says no limit. */
  readonly usualMs?: number;
}

export class Connection {
  readonly endpoint: Endpoint;
  readonly #wire: Wire;
  readonly #reconnectMs: number;

  private constructor(endpoint: Endpoint, wire: Wire, reconnectMs: number) {
    this.endpoint = endpoint;
    this.#wire = wire;
    this.#reconnectMs = reconnectMs;
  }

  static async open(opts: ConnectionOpts): Promise<Connection> {
    const { endpoint, wire } = await openWire(opts, process.env);
    return new Connection(endpoint, wire, opts.reconnectMs ?? usualReconnectMs);
  }

  /** For what can't do without: commands in the background, terminals. */
  requireStreams({ stage, sandboxId }: Call): void {
    if (this.#wire.streams) return;
    throw new UnimplementedError('not to be had by HTTP (use protocol "grpc")', { stage, sandboxId });
  }

  /** What can't be taken up again is told as it is. */
  get resumes(): boolean {
    return this.#wire.streams;
  }

  /** A call that does nothing twice: where the connection breaks it is made again. */
  async repeatable<Q, A>(method: MethodDefinition<Q, A>, request: Q, call: Call): Promise<A> {
    return await this.#unary(method, request, call, true);
  }

  /** One that does: it is made again only where it has not left this process. */
  async once<Q, A>(method: MethodDefinition<Q, A>, request: Q, call: Call): Promise<A> {
    return await this.#unary(method, request, call, false);
  }

  /** Within the call's limit, whatever the work waits for. */
  async limited<T>(call: Call, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const limit = this.deadline(call);
    try {
      return await work(limit.signal);
    } catch (thrown) {
      if (limit.signal.aborted) throw reasonOf(limit.signal);
      throw thrown;
    } finally {
      limit.clear();
    }
  }

  deadline({ stage, sandboxId, opts, usualMs }: Call): Deadline {
    return new Deadline(opts?.requestTimeoutMs ?? usualMs ?? usualTimeoutMs, opts?.signal, { stage, sandboxId });
  }

  /** Fails with a `WireError`: who reads knows how to go on. */
  stream<Q, A>(method: MethodDefinition<Q, A>, request: Q, signal: AbortSignal): AsyncIterable<A> {
    return this.#wire.stream(method, request, signal);
  }

  /** The same. */
  async upload<Q, A>(method: MethodDefinition<Q, A>, parts: AsyncIterable<Q>, signal: AbortSignal): Promise<A> {
    return await this.#wire.upload(method, parts, signal);
  }

  /** The same. */
  async converse<Q, A>(method: MethodDefinition<Q, A>): Promise<Conversation<Q, A>> {
    return await this.#wire.converse(method);
  }

  attempts(call: Call, signal: AbortSignal): Attempts {
    return new Attempts(this, this.#wire, this.#reconnectMs, call, signal);
  }

  /** The error's class and words. A NOT_FOUND of what is in a sandbox may be the sandbox's own. */
  async explain(thrown: unknown, call: Call): Promise<unknown> {
    if (!(thrown instanceof WireError)) return thrown;
    const { stage, subject, sandboxId } = call;
    const own = explained(thrown, subject, { stage, sandboxId });
    if (thrown.status !== status.NOT_FOUND || subject === "sandbox" || sandboxId === undefined) return own;
    return (await this.#sandboxIsGone(sandboxId, call)) ?? own;
  }

  async #sandboxIsGone(sandboxId: string, { stage }: Call): Promise<SandboxError | undefined> {
    const limit = new Deadline(usualTimeoutMs, undefined, { stage, sandboxId });
    try {
      await this.#wire.unary(SandboxServiceService.getSandbox, { sandboxId }, limit.signal);
      return undefined;
    } catch (thrown) {
      const isGone = thrown instanceof WireError && thrown.status === status.NOT_FOUND;
      return isGone ? new SandboxNotFoundError(thrown.message, { stage, sandboxId, cause: thrown }) : undefined;
    } finally {
      limit.clear();
    }
  }

  async #unary<Q, A>(method: MethodDefinition<Q, A>, request: Q, call: Call, isRepeatable: boolean): Promise<A> {
    return await this.limited(call, async (signal) => {
      const attempts = this.attempts(call, signal);
      for (;;) {
        try {
          return await this.#wire.unary(method, request, signal);
        } catch (thrown) {
          if (!isRepeatable && !(thrown instanceof WireError && thrown.neverSent)) {
            throw await this.explain(unsure(thrown), call);
          }
          await attempts.again(thrown);
        }
      }
    });
  }
}

/** Of what is not tried again. */
export function unsure(thrown: unknown): unknown {
  if (!(thrown instanceof WireError) || !thrown.isDrop) return thrown;
  const words = `${thrown.message} (it may have been done: look before you repeat it)`;
  return new WireError(thrown.status, words, false, thrown);
}

/** How often something is tried while the runtime restarts: at growing distances, and for so long. */
export class Attempts {
  readonly #connection: Connection;
  readonly #wire: Wire;
  readonly #reconnectMs: number;
  readonly #call: Call;
  readonly #signal: AbortSignal;
  #sinceMs: number | undefined;
  #pauseMs = shortestPauseMs;

  constructor(connection: Connection, wire: Wire, reconnectMs: number, call: Call, signal: AbortSignal) {
    this.#connection = connection;
    this.#wire = wire;
    this.#reconnectMs = reconnectMs;
    this.#call = call;
    this.#signal = signal;
  }

  /** Something came: the next break is a new one. */
  succeeded(): void {
    this.#sinceMs = undefined;
    this.#pauseMs = shortestPauseMs;
  }

  /** Resolves when the runtime answers again; throws what is no break, and what lasts too long. */
  async again(thrown: unknown): Promise<void> {
    if (this.#signal.aborted) throw reasonOf(this.#signal);
    if (!(thrown instanceof WireError) || !thrown.isDrop) throw await this.#connection.explain(thrown, this.#call);
    this.#sinceMs ??= performance.now();
    const leftMs = this.#reconnectMs - (performance.now() - this.#sinceMs);
    if (leftMs <= 0) throw await this.#connection.explain(thrown, this.#call);
    await sleep(Math.min(this.#pauseMs, leftMs), this.#signal);
    this.#pauseMs = Math.min(2 * this.#pauseMs, longestPauseMs);
    const limit = new Deadline(leftMs, this.#signal, {});
    try {
      await this.#wire.ready(limit.signal);
    } catch {
      this.#signal.throwIfAborted();
      throw await this.#connection.explain(thrown, this.#call);
    } finally {
      limit.clear();
    }
  }
}

const open = new Map<string, Promise<Connection>>();

/** One connection for all that say the same. It keeps no process alive, and ends with this one. */
export async function connectionTo(opts: ConnectionOpts): Promise<Connection> {
  const { endpoint, token, apiKey, ca, cert, key, protocol, reconnectMs, vsockHelper } = opts;
  const name = JSON.stringify([
    ...[endpoint, token, apiKey, ca, cert, key, protocol, reconnectMs, vsockHelper],
    ...["ENDPOINT", "TOKEN", "TOKEN_FILE", "CA_FILE", "PROTOCOL"].map((one) => process.env[`A3S_BOX_${one}`]),
  ]);
  const known = open.get(name);
  const opening = known ?? Connection.open(opts);
  open.set(name, opening);
  if (known === undefined) opening.catch(() => open.delete(name));
  return await (opts.signal === undefined ? opening : until(opening, opts.signal));
}
