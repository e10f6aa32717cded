import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { Duplex, pipeline } from "node:stream";
import type { Call, Connection } from "./connection.js";
import { InvalidArgumentError } from "./errors.js";
import {
  PortServiceService as service,
  type ForwardPortRequest,
  type ForwardPortResponse,
} from "./gen/sandboxes/v1/ports.js";
import type { RequestOpts } from "./options.js";
import { WireError, type Conversation } from "./wire/wire.js";

const highestPort = 65_535;
const pieceBytes = 64 * 1024;

type PortConversation = Conversation<ForwardPortRequest, ForwardPortResponse>;

export interface ForwardOpts {
  /** Of this machine; usually any that is free. */
  readonly localPort?: number;
  /** Usually the loopback's. */
  readonly host?: string;
}

/** A port of this machine that leads into a sandbox. */
export interface ForwardedPort {
  readonly host: string;
  readonly port: number;
  /** "127.0.0.1:34567". */
  readonly address: string;
  /** Connections that are open end with it. */
  close(): Promise<void>;
}

/** TCP ports of a sandbox's loopback. */
export class Ports {
  readonly #connection: Connection;
  readonly #sandboxId: string;

  constructor(connection: Connection, sandboxId: string) {
    this.#connection = connection;
    this.#sandboxId = sandboxId;
  }

  /**
   * A connection, half of which may end by itself. `FailedPreconditionError` where nobody listens. What was on its way when
   * the runtime restarts is lost with the connection, as with any other.
   */
  async connect(port: number, opts: RequestOpts = {}): Promise<Duplex> {
    const call: Call = { stage: "ports.connect", subject: "port", sandboxId: this.#sandboxId, opts };
    checkPort(port, 1, call);
    return await this.#connection.limited(call, async (signal) => {
      const attempts = this.#connection.attempts(call, signal);
      for (;;) {
        let talk: PortConversation | undefined;
        const cancel = (): void => {
          talk?.cancel();
        };
        signal.addEventListener("abort", cancel, { once: true });
        try {
          talk = await this.#connection.converse(service.forwardPort);
          signal.throwIfAborted();
          talk.write({ open: { sandboxId: this.#sandboxId, port } });
          const answers = talk.answers[Symbol.asyncIterator]();
          const first = await answers.next();
          if (first.done === true || first.value.connected === undefined) throw new Error("the port was not connected");
          return new PortDuplex(talk, answers, (thrown) => this.#connection.explain(thrown, call));
        } catch (thrown) {
          cancel();
          // Nothing has gone through yet: another connection is as good.
          await attempts.again(thrown);
        } finally {
          signal.removeEventListener("abort", cancel);
        }
      }
    });
  }

  /** Each connection to it is one into the sandbox. */
  async forward(port: number, { localPort = 0, host = "127.0.0.1" }: ForwardOpts = {}): Promise<ForwardedPort> {
    const call: Call = { stage: "ports.forward", subject: "port", sandboxId: this.#sandboxId };
    checkPort(port, 1, call);
    checkPort(localPort, 0, call);
    const sockets = new Set<Socket>();
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
      socket.on("error", () => undefined); // "close" follows
      this.connect(port).then(
        (inside) => {
          join(socket, inside);
        },
        () => socket.resetAndDestroy(), // as a machine does where nobody listens
      );
    });
    await listening(server, localPort, host);
    const { port: bound } = addressOf(server);
    return {
      ...{ host, port: bound, address: `${host.includes(":") ? `[${host}]` : host}:${bound}` },
      close: async () => {
        const closed = new Promise((resolve) => server.close(resolve));
        for (const socket of sockets) socket.destroy();
        await closed;
      },
    };
  }
}

function checkPort(port: number, least: number, { stage, sandboxId }: Call): void {
  if (Number.isInteger(port) && port >= least && port <= highestPort) return;
  throw new InvalidArgumentError(`no port has the number ${String(port)}`, { stage, sandboxId });
}

function join(one: Socket, other: Duplex): void {
  pipeline(one, other, (thrown) => {
    if (thrown) other.destroy();
  });
  pipeline(other, one, (thrown) => {
    if (thrown) one.destroy();
  });
}

async function listening(server: Server, port: number, host: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port, host }, resolve);
  });
}

function addressOf(server: Server): AddressInfo {
  const bound = server.address();
  if (bound === null || typeof bound === "string") throw new Error("the listener has no port");
  return bound;
}

/** A connection that stands. */
class PortDuplex extends Duplex {
  readonly #talk: PortConversation;
  readonly #answers: AsyncIterator<ForwardPortResponse>;
  readonly #explain: (thrown: unknown) => Promise<unknown>;
  #isReading = false;
  #blocked: (() => void) | undefined;

  constructor(
    talk: PortConversation,
    answers: AsyncIterator<ForwardPortResponse>,
    explain: (thrown: unknown) => Promise<unknown>,
  ) {
    super({ allowHalfOpen: true });
    this.#talk = talk;
    this.#answers = answers;
    this.#explain = explain;
    talk.onOver(() => {
      this.#unblock(); // who reads learns why
    });
  }

  override _read(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    void this.#readOn();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    let hasRoom = true;
    for (let at = 0; at < chunk.length; at += pieceBytes) {
      hasRoom = this.#talk.write({ data: chunk.subarray(at, at + pieceBytes) });
    }
    this.#blocked = done;
    if (hasRoom) this.#unblock();
    else {
      this.#talk.onDrain(() => {
        this.#unblock();
      });
    }
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#talk.end();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#talk.cancel();
    done(error);
  }

  #unblock(): void {
    const done = this.#blocked;
    this.#blocked = undefined;
    done?.();
  }

  async #readOn(): Promise<void> {
    try {
      for (;;) {
        const next = await this.#answers.next();
        if (next.done === true || next.value.end !== undefined) {
          this.push(null);
          break;
        }
        const { data } = next.value;
        if (data !== undefined && !this.push(data)) break;
      }
      this.#isReading = false;
    } catch (thrown) {
      if (this.destroyed) return;
      const why = thrown instanceof WireError ? await this.#explain(thrown) : thrown;
      this.destroy(why instanceof Error ? why : new Error(String(why)));
    }
  }
}
