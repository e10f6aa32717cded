/** Calls about one sandbox, which need no more of it than its id. */
import { connectionTo, type Call, type Connection } from "../connection.js";
import { SandboxNotFoundError } from "../errors.js";
import {
  SandboxServiceService as service,
  SandboxState,
  type Sandbox as Message,
} from "../gen/sandboxes/v1/sandboxes.js";
import type { ConnectionOpts, RequestOpts } from "../options.js";
import { createRequest, milliseconds, type SandboxOpts } from "./create.js";
import { sandboxInfo, sandboxMetrics, type SandboxInfo, type SandboxMetrics } from "./info.js";

/** An image may have to be pulled. */
const createMs = 300_000;
const endMs = 120_000;

function about(stage: string, sandboxId: string | undefined, opts: RequestOpts | undefined, usualMs?: number): Call {
  return { stage, subject: "sandbox", sandboxId, opts, ...(usualMs === undefined ? {} : { usualMs }) };
}

export async function create(opts: SandboxOpts): Promise<{ connection: Connection; sandboxId: string }> {
  const request = createRequest(opts);
  const connection = await connectionTo(opts);
  const call = about("Sandbox.create", undefined, opts, createMs);
  const { sandbox } = await connection.once(service.createSandbox, request, call);
  return { connection, sandboxId: present(sandbox).id };
}

/** Whether it is there; one that is paused goes on. With a life time it ends no sooner than after that. */
export async function found(
  sandboxId: string,
  opts: ConnectionOpts & { readonly timeoutMs?: number },
): Promise<Connection> {
  const connection = await connectionTo(opts);
  const call = about("Sandbox.connect", sandboxId, opts);
  const lifeMs = milliseconds("timeoutMs", opts.timeoutMs);
  const { sandbox } = await connection.repeatable(service.getSandbox, { sandboxId }, call);
  const isPaused = present(sandbox).state === SandboxState.PAUSED;
  if (isPaused) await connection.repeatable(service.resumeSandbox, { sandboxId }, call);
  if (lifeMs !== undefined) {
    await connection.repeatable(service.extendSandbox, { sandboxId, lifeMs, onlyLater: !isPaused }, call);
  }
  return connection;
}

export class SandboxCalls {
  readonly #connection: Connection;
  readonly #sandboxId: string;

  constructor(connection: Connection, sandboxId: string) {
    this.#connection = connection;
    this.#sandboxId = sandboxId;
  }

  async info(opts: RequestOpts | undefined): Promise<SandboxInfo> {
    const call = about("getInfo", this.#sandboxId, opts);
    const { sandbox } = await this.#connection.repeatable(service.getSandbox, this.#named, call);
    return sandboxInfo(present(sandbox));
  }

  async setTimeout(timeoutMs: number, opts: RequestOpts | undefined): Promise<void> {
    const lifeMs = milliseconds("timeoutMs", timeoutMs) ?? 0n;
    const request = { ...this.#named, lifeMs, onlyLater: false };
    await this.#connection.repeatable(service.extendSandbox, request, about("setTimeout", this.#sandboxId, opts));
  }

  /** False when it has ended before. */
  async kill(opts: RequestOpts | undefined): Promise<boolean> {
    try {
      const call = about("kill", this.#sandboxId, opts, endMs);
      await this.#connection.repeatable(service.endSandbox, this.#named, call);
      return true;
    } catch (thrown) {
      if (thrown instanceof SandboxNotFoundError) return false;
      throw thrown;
    }
  }

  async isRunning(opts: RequestOpts | undefined): Promise<boolean> {
    try {
      return (await this.info(opts)).state === "running";
    } catch (thrown) {
      if (thrown instanceof SandboxNotFoundError) return false;
      throw thrown;
    }
  }

  async metrics(opts: RequestOpts | undefined): Promise<SandboxMetrics[]> {
    const call = about("getMetrics", this.#sandboxId, opts);
    return [sandboxMetrics(await this.#connection.repeatable(service.getSandboxUsage, this.#named, call))];
  }

  async pause(opts: RequestOpts | undefined): Promise<boolean> {
    await this.#connection.once(service.pauseSandbox, this.#named, about("pause", this.#sandboxId, opts, endMs));
    return true;
  }

  async resume(opts: RequestOpts | undefined): Promise<void> {
    await this.#connection.once(service.resumeSandbox, this.#named, about("resume", this.#sandboxId, opts, endMs));
  }

  get #named(): { sandboxId: string } {
    return { sandboxId: this.#sandboxId };
  }
}

function present(sandbox: Message | undefined): Message {
  if (sandbox === undefined) throw new Error("the runtime's answer has no sandbox");
  return sandbox;
}
