import { Agent } from "../agent/agent.js";
import { Commands } from "../commands/commands.js";
import { SandboxProcesses } from "../commands/processes.js";
import { Pty } from "../commands/pty.js";
import { connectionTo, type Connection } from "../connection.js";
import { nonEmpty } from "../endpoint.js";
import { Filesystem } from "../files/files.js";
import type { ConnectionOpts, RequestOpts } from "../options.js";
import { Ports } from "../ports.js";
import { create, found, SandboxCalls } from "./calls.js";
import type { SandboxOpts } from "./create.js";
import { hostOf } from "./host.js";
import type { SandboxInfo, SandboxMetrics } from "./info.js";
import { SandboxPaginator, type SandboxListOpts } from "./list.js";

export interface SandboxConnectOpts extends ConnectionOpts {
  /** It ends no sooner than after that, in milliseconds. */
  readonly timeoutMs?: number;
}

/** A microVM with one container in it, for code that a model wrote. */
export class Sandbox {
  readonly sandboxId: string;
  readonly commands: Commands;
  readonly pty: Pty;
  readonly files: Filesystem;
  readonly ports: Ports;
  /** Its coding agent, by ACP. */
  readonly agent: Agent;
  readonly #connection: Connection;
  readonly #calls: SandboxCalls;
  readonly #domain: string | undefined;

  private constructor(connection: Connection, sandboxId: string, domain: string | undefined) {
    const processes = new SandboxProcesses(connection, sandboxId);
    this.sandboxId = sandboxId;
    this.commands = new Commands(processes);
    this.pty = new Pty(processes);
    this.files = new Filesystem(connection, sandboxId);
    this.ports = new Ports(connection, sandboxId);
    this.#connection = connection;
    this.#calls = new SandboxCalls(connection, sandboxId);
    this.agent = new Agent(processes, this.#calls);
    this.#domain = nonEmpty(domain) ?? nonEmpty(process.env["A3S_BOX_DOMAIN"]);
  }

  /** Resolves when it runs, and its template's ready check has passed. */
  static create(opts?: SandboxOpts): Promise<Sandbox>;
  static create(template: string, opts?: SandboxOpts): Promise<Sandbox>;
  static async create(first: string | SandboxOpts = {}, second: SandboxOpts = {}): Promise<Sandbox> {
    const opts = typeof first === "string" ? { ...second, template: first } : first;
    const { connection, sandboxId } = await create(opts);
    return new Sandbox(connection, sandboxId, opts.domain);
  }

  /** One that is there, whoever has made it. One that is paused goes on. */
  static async connect(sandboxId: string, opts: SandboxConnectOpts = {}): Promise<Sandbox> {
    return new Sandbox(await found(sandboxId, opts), sandboxId, opts.domain);
  }

  static list(opts?: SandboxListOpts): SandboxPaginator {
    return new SandboxPaginator(opts);
  }

  /** False when it has ended before. */
  static async kill(sandboxId: string, opts?: ConnectionOpts): Promise<boolean> {
    return await (await callsTo(sandboxId, opts)).kill(opts);
  }

  static async getInfo(sandboxId: string, opts?: ConnectionOpts): Promise<SandboxInfo> {
    return await (await callsTo(sandboxId, opts)).info(opts);
  }

  static async setTimeout(sandboxId: string, timeoutMs: number, opts?: ConnectionOpts): Promise<void> {
    await (await callsTo(sandboxId, opts)).setTimeout(timeoutMs, opts);
  }

  static async getMetrics(sandboxId: string, opts?: ConnectionOpts): Promise<SandboxMetrics[]> {
    return await (await callsTo(sandboxId, opts)).metrics(opts);
  }

  static async pause(sandboxId: string, opts?: ConnectionOpts): Promise<boolean> {
    return await (await callsTo(sandboxId, opts)).pause(opts);
  }

  static async resume(sandboxId: string, opts: ConnectionOpts = {}): Promise<Sandbox> {
    const connection = await connectionTo(opts);
    await new SandboxCalls(connection, sandboxId).resume(opts);
    return new Sandbox(connection, sandboxId, opts.domain);
  }

  /** The name of one of its ports, for what speaks HTTP; `ports` needs none. */
  getHost(port: number): string {
    return hostOf(this.#connection.endpoint, this.#domain, this.sandboxId, port);
  }

  async isRunning(opts?: RequestOpts): Promise<boolean> {
    return await this.#calls.isRunning(opts);
  }

  async getInfo(opts?: RequestOpts): Promise<SandboxInfo> {
    return await this.#calls.info(opts);
  }

  /** It ends after that, from now on; sooner or later than it would have. */
  async setTimeout(timeoutMs: number, opts?: RequestOpts): Promise<void> {
    await this.#calls.setTimeout(timeoutMs, opts);
  }

  /** Ends it with all that is in it; false when it has ended before. */
  async kill(opts?: RequestOpts): Promise<boolean> {
    return await this.#calls.kill(opts);
  }

  /** One, of now. */
  async getMetrics(opts?: RequestOpts): Promise<SandboxMetrics[]> {
    return await this.#calls.metrics(opts);
  }

  /** Stops it where it is, in memory. Its time does not pass meanwhile. */
  async pause(opts?: RequestOpts): Promise<boolean> {
    return await this.#calls.pause(opts);
  }

  /** Lets a paused one run on. */
  async resume(opts?: RequestOpts): Promise<this> {
    await this.#calls.resume(opts);
    return this;
  }

  /** `await using sandbox = await Sandbox.create()`: it ends with its block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

async function callsTo(sandboxId: string, opts: ConnectionOpts | undefined): Promise<SandboxCalls> {
  return new SandboxCalls(await connectionTo(opts ?? {}), sandboxId);
}
