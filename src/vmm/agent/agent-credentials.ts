import { connect, type Socket } from "node:net";
import { CallCredentials, ChannelCredentials, type experimental } from "@grpc/grpc-js";
import { RuntimeError } from "../../base/errors.js";
import { sleep } from "../../base/stage.js";
import { anyOf } from "../../base/signals.js";
import { waitForSocket } from "../drivers/wait-for-socket.js";
import type { CallScope } from "./call-scope.js";
import { shakeHands } from "./handshake.js";
import { watchOverhead } from "./overhead.js";
import { SlicedSocket } from "./sliced-socket.js";

/**
 * A running agent answers at once; on a loaded machine later, so each try waits longer than the one before. So does the
 * pause between two: a guest that has no processor meanwhile does not see that the last connection has gone.
 */
const firstTry = { answerMs: 400, pauseMs: 100 };
const longestAnswerMs = 3200;
/** While the guest boots, bytes wait in the port until the agent opens it: the first try is the fastest. */
const bootAnswerMs = 5000;
/** After that long without an agent, calls in wait fail with `unavailable`; the next call tries again. */
const redialForMs = 4000;
/** An agent that shook hands must speak HTTP/2 in this time. */
const settingsMs = 5000;

export interface AgentAddress {
  readonly socketPath: string;
  /** Settles when dialling makes sense, for a guest that is booting; null for one that runs. */
  readonly booting: Promise<void> | null;
}

/**
 * "Credentials" are the one hook of grpc-js that sees a connection before HTTP/2: its connector shakes hands, and
 * dials again by itself until that succeeds, without the growing pauses of grpc-js.
 *
 * `_createSecureConnector` is not documented (the connector's type is, as experimental): grpc-js is pinned, and
 * `connect-agent.test.ts` fails when the hook changes.
 */
export class AgentCredentials extends ChannelCredentials {
  readonly #guest: Guest;
  readonly #scope: CallScope;

  constructor(address: AgentAddress, scope: CallScope) {
    super();
    this.#guest = { ...address, next: firstTry, socket: undefined };
    this.#scope = scope;
  }

  /** Drops the connection, whatever is under way on it; the next call dials again. */
  hangUp(): void {
    this.#guest.socket?.destroy();
  }

  override _isSecure(): boolean {
    return false;
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(): experimental.SecureConnector {
    return new AgentConnector(this.#guest, this.#scope);
  }
}

/** What all connectors of one channel know: grpc-js makes a new one now and then. */
interface Guest {
  readonly socketPath: string;
  /** Null once the agent has been reached. */
  booting: Promise<void> | null;
  /** Of the try that comes; as at first once the agent has been reached. */
  next: typeof firstTry;
  /** The connection of calls. */
  socket: Socket | undefined;
}

class AgentConnector implements experimental.SecureConnector {
  readonly #guest: Guest;
  readonly #scope: CallScope;
  readonly #stopped: AbortSignal;
  readonly #destroyed = new AbortController();

  constructor(guest: Guest, scope: CallScope) {
    this.#guest = guest;
    this.#scope = scope;
    this.#stopped = anyOf(scope.closed, this.#destroyed.signal);
  }

  async waitForReady(): Promise<void> {
    if (this.#guest.booting !== null) await this.#guest.booting;
    await waitForSocket(this.#guest.socketPath, anyOf(this.#stopped, AbortSignal.timeout(redialForMs)));
  }

  /** Takes over the socket that grpc-js has dialled, or one that it dials in its place. */
  async connect(dialled: Socket): Promise<experimental.SecureConnectResult> {
    this.#guest.socket?.destroy(); // a port has one connection, and the next has no answer until that one has gone
    const giveUpAt = this.#guest.booting === null ? performance.now() + redialForMs : Number.POSITIVE_INFINITY;
    let socket: Socket | undefined = dialled;
    for (;;) {
      const { answerMs, pauseMs } = this.#nextTry();
      try {
        socket ??= await dial(this.#guest.socketPath);
        await shakeHands(socket, answerMs, this.#stopped);
        Object.assign(this.#guest, { booting: null, next: firstTry, socket });
        expectSettings(socket);
        watchOverhead(socket, this.#scope);
        return { socket: new SlicedSocket(socket), secure: false };
      } catch (thrown) {
        socket?.destroy();
        socket = undefined;
        if (this.#stopped.aborted || performance.now() > giveUpAt) throw thrown;
      }
      await sleep(pauseMs, this.#stopped);
    }
  }

  #nextTry(): typeof firstTry {
    const { booting, next } = this.#guest;
    if (booting !== null) return { ...firstTry, answerMs: bootAnswerMs };
    if (next.answerMs < longestAnswerMs) this.#guest.next = { answerMs: next.answerMs * 2, pauseMs: next.pauseMs * 2 };
    return next;
  }

  getCallCredentials(): CallCredentials {
    return CallCredentials.createEmpty();
  }

  destroy(): void {
    this.#destroyed.abort();
  }
}

async function dial(path: string): Promise<Socket> {
  return await new Promise((resolve, reject) => {
    const socket = connect(path, () => {
      socket.off("error", onError);
      socket.setNoDelay();
      resolve(socket);
    });
    const onError = (error: Error): void => {
      reject(new RuntimeError("unavailable", `dial ${path}: ${error.message}`));
    };
    socket.once("error", onError);
  });
}

/** grpc-js itself waits without a limit for the first bytes of HTTP/2. */
function expectSettings(socket: Socket): void {
  const heard = socket.bytesRead;
  const timer = setTimeout(() => {
    if (socket.bytesRead === heard && socket.readableLength === 0) socket.destroy();
  }, settingsMs);
  timer.unref();
  socket.once("close", () => {
    clearTimeout(timer);
  });
}
